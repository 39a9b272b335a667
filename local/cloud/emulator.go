package cloud

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

const (
	emulatorName = "emulator"
	emulatorPort = 4566
	// Region is where the emulated cloud is said to be.
	Region = "us-east-1"
	// accessKey and secretKey are the emulator's root credentials.
	accessKey = "test"
	secretKey = "test"
)

// upEmulator returns the running emulator of the same settings, or starts one. fresh: it was started, and is empty.
func (s Settings) upEmulator(ctx context.Context, venv string) (r Record, fresh bool, err error) {
	identity := "auth=" + strconv.FormatBool(s.Auth)
	r, ok, err := s.running(emulatorName)
	if err != nil {
		return Record{}, false, err
	}
	if ok {
		if r.Identity != identity {
			return Record{}, false, fmt.Errorf("the emulator runs with %s, but %s was asked for: stop it first (make down)", r.Identity, identity)
		}
		return r, false, nil
	}

	port, err := choosePort("EMULATOR_PORT", s.EmulatorPort, emulatorPort)
	if err != nil {
		return Record{}, false, err
	}
	// Lambda code is unpacked under TMPDIR.
	tmp := filepath.Join(s.Dir, "tmp")
	if err := os.MkdirAll(tmp, 0o755); err != nil {
		return Record{}, false, err
	}
	cert, key, err := s.certificate(time.Now())
	if err != nil {
		return Record{}, false, fmt.Errorf("certificate for the emulator: %w", err)
	}
	client, err := s.emulatorClient()
	if err != nil {
		return Record{}, false, err
	}
	endpoint := fmt.Sprintf("https://%s:%d", loopback, port)
	r, err = s.start(ctx, server{
		name: emulatorName, address: endpoint, identity: identity,
		dir: s.Dir, command: []string{filepath.Join(venv, "bin", "ministack")},
		// The functions inherit this environment, so nothing of the user's own AWS configuration may be in it.
		environment: append(plainEnvironment(),
			"TMPDIR="+tmp,
			"BIND_HOST="+loopback,
			"GATEWAY_PORT="+strconv.Itoa(port),
			"AWS_ENDPOINT_URL="+endpoint, // without it the functions would call the real AWS
			"AWS_REGION="+Region, "AWS_DEFAULT_REGION="+Region,
			"AWS_ACCESS_KEY_ID="+accessKey, "AWS_SECRET_ACCESS_KEY="+secretKey,
			"AWS_EC2_METADATA_DISABLED=true",
			"AUTH="+strconv.FormatBool(s.Auth),
			// TLS, because the lake's bucket policy refuses anything else, and the emulator enforces it.
			"USE_SSL=1", "MINISTACK_SSL_CERT="+cert, "MINISTACK_SSL_KEY="+key,
			"AWS_CA_BUNDLE="+cert, "SSL_CERT_FILE="+cert, // the functions' own clients, and the emulator's
			"IOT_MTLS_ENABLED=0", "SFTP_ENABLED=0", // listeners on fixed ports that nothing here uses
			"PYTHONUNBUFFERED=1",
		),
		stop: syscall.SIGTERM,
		ready: func(ctx context.Context) error {
			return answers(ctx, client, endpoint+"/_ministack/ready")
		},
	})
	return r, true, err
}

// plainEnvironment is what every program needs of our own environment.
func plainEnvironment() []string {
	var e []string
	for _, name := range []string{"PATH", "HOME", "USER", "LANG", "LC_ALL"} {
		if value, ok := os.LookupEnv(name); ok {
			e = append(e, name+"="+value)
		}
	}
	return append(e, "AWS_CONFIG_FILE="+os.DevNull, "AWS_SHARED_CREDENTIALS_FILE="+os.DevNull)
}

// emulatorTLS trusts the emulator's certificate.
func (s Settings) emulatorTLS() (*tls.Config, error) {
	text, err := os.ReadFile(s.certificatePath())
	if err != nil {
		return nil, fmt.Errorf("the emulator's certificate: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s is not a certificate: remove it and start again", s.certificatePath())
	}
	return &tls.Config{RootCAs: roots}, nil
}

// emulatorClient asks no proxy for a loopback address.
func (s Settings) emulatorClient() (*http.Client, error) {
	config, err := s.emulatorTLS()
	if err != nil {
		return nil, err
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: config}}, nil
}

// TLSConfig is for connections to the emulated AWS.
func (c *Cloud) TLSConfig() (*tls.Config, error) { return c.settings.emulatorTLS() }

func answers(ctx context.Context, client *http.Client, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(response.Body, 300))
		return fmt.Errorf("%s: %s: %s", url, response.Status, body)
	}
	return nil
}
