package invoke

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// label marks an image as ours and says what it was made of.
const label = "millrace.content"

// CheckEngine fails if no Docker engine answers.
func CheckEngine(ctx context.Context) error {
	if _, err := exec.LookPath("docker"); err != nil {
		return fmt.Errorf("docker is not in PATH: install it (Debian and Ubuntu: apt-get install docker.io)")
	}
	if _, err := docker(ctx, nil, "info", "--format", "{{.ServerVersion}}"); err != nil {
		return fmt.Errorf("no Docker engine answers: start it (systemctl start docker, or as root: dockerd): %w", err)
	}
	return nil
}

// Image returns the image that `sam local invoke --skip-pull-image` looks for, made here if the engine does not have it: the
// emulator of Lambda's runtime that the SAM CLI in the virtual environment ships, and nothing that a registry would be needed for.
// Our functions are static binaries, so certificates and a /tmp are all they want besides. An image of the same name that we did
// not make is the SAM CLI's own, and is left as it is.
func Image(ctx context.Context, venv string) (string, error) {
	architecture, ok := map[string]string{"amd64": "x86_64", "arm64": "arm64"}[runtime.GOARCH]
	if !ok {
		return "", fmt.Errorf("AWS Lambda does not run on %s: use an x86-64 or arm64 machine", runtime.GOARCH)
	}
	// The SAM CLI's name for the runtime provided.al2023 with the emulator in it (samcli/local/docker/lambda_image.py).
	name := "public.ecr.aws/lambda/provided:al2023-rapid-" + architecture
	files, err := fileSystem(venv, architecture)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(files)
	content := hex.EncodeToString(sum[:])

	found, err := docker(ctx, nil, "image", "ls", "--quiet", "--no-trunc", name)
	if err != nil {
		return "", err
	}
	if found != "" {
		made, err := docker(ctx, nil, "image", "inspect", "--format", `{{index .Config.Labels "`+label+`"}}`, name)
		if err != nil {
			return "", err
		}
		if made == content || made == "" {
			return name, nil
		}
	}
	if _, err := docker(ctx, files, "import", "--change", "LABEL "+label+"="+content, "-", name); err != nil {
		return "", err
	}
	if found != "" {
		// The one that lost its name to the new one; a container may still hold it, which is no failure of ours.
		_, _ = docker(ctx, nil, "image", "rm", found)
	}
	return name, nil
}

// fileSystem is the image's only layer, equal for equal input.
func fileSystem(venv, architecture string) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, directory := range []struct {
		name string
		mode int64
	}{{"tmp/", 0o1777}, {"var/rapid/", 0o755}, {"etc/ssl/certs/", 0o755}} {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: directory.name, Mode: directory.mode}); err != nil {
			return nil, err
		}
	}
	for _, file := range []struct {
		name, from string
		mode       int64
	}{
		{"var/rapid/aws-lambda-rie", "samcli/local/rapid/aws-lambda-rie-" + architecture, 0o755},
		{"etc/ssl/certs/ca-certificates.crt", "certifi/cacert.pem", 0o644}, // where Go's crypto/x509 looks first
	} {
		content, err := sitePackage(venv, file.from)
		if err != nil {
			return nil, err
		}
		if err := w.WriteHeader(&tar.Header{Name: file.name, Mode: file.mode, Size: int64(len(content))}); err != nil {
			return nil, err
		}
		if _, err := w.Write(content); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), w.Close()
}

func sitePackage(venv, path string) ([]byte, error) {
	pattern := filepath.Join(venv, "lib", "python3*", "site-packages", filepath.FromSlash(path))
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) == 0 {
		return nil, fmt.Errorf("no %s: the SAM CLI there ships none: use the version pinned in local/requirements-sam.txt", pattern)
	}
	return os.ReadFile(found[0])
}

// docker runs the docker command and returns what it prints, without the line's end.
func docker(ctx context.Context, stdin []byte, arguments ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "docker", arguments...)
	cmd.Stdin = bytes.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("docker %s: %w: %s", arguments[0], err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(stdout.String()), nil
}
