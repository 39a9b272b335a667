package cloud_test

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/local/cloud"
)

func occupiedPort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	return l.Addr().(*net.TCPAddr).Port
}

func TestAnOccupiedPortThatWasAskedForIsAnErrorThatNamesIt(t *testing.T) {
	t.Parallel()
	port := occupiedPort(t)
	_, err := cloud.ChoosePort("MYSQL_PORT", port, 3306)
	require.ErrorContains(t, err, "MYSQL_PORT=")
	require.ErrorContains(t, err, "occupied")
}

func TestAnOccupiedDefaultPortIsReplacedByAFreeOne(t *testing.T) {
	t.Parallel()
	occupied := occupiedPort(t)
	port, err := cloud.ChoosePort("MYSQL_PORT", 0, occupied)
	require.NoError(t, err)
	require.NotEqual(t, occupied, port)
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	require.NoError(t, err, "the port is free")
	l.Close()
}

func TestSettingsFindTheCheckoutFromAnyDirectoryInIt(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(root, "go.work"), nil, 0o644))
	deep := filepath.Join(root, "functions", "api")
	require.NoError(t, os.MkdirAll(deep, 0o755))

	s, err := cloud.SettingsFrom(map[string]string{"EMULATOR_PORT": "4600"}, deep)
	require.NoError(t, err)
	require.Equal(t, root, s.Root)
	require.Equal(t, filepath.Join(root, ".local"), s.Dir)
	require.Equal(t, s.Dir, s.VenvDir)
	require.Equal(t, 4600, s.EmulatorPort)

	_, err = cloud.SettingsFrom(map[string]string{"EMULATOR_PORT": "70000"}, deep)
	require.ErrorContains(t, err, "EMULATOR_PORT=70000")
}

func TestAVirtualEnvironmentIsCompleteOnlyForItsRequirementsAndPlace(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "bin"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "bin", "python"), nil, 0o755))
	requirements := []byte("tool==1.0\n")
	require.False(t, cloud.VenvComplete(dir, requirements), "no stamp: the installation was interrupted")

	require.NoError(t, cloud.StampVenv(dir, requirements))
	require.True(t, cloud.VenvComplete(dir, requirements))
	require.False(t, cloud.VenvComplete(dir, []byte("tool==1.1\n")), "the requirements changed")

	moved := filepath.Join(t.TempDir(), "moved")
	require.NoError(t, os.Rename(dir, moved))
	require.False(t, cloud.VenvComplete(moved, requirements), "the scripts inside still name the old place")
	require.NoError(t, cloud.StampVenv(moved, requirements))
	require.NoError(t, os.Remove(filepath.Join(moved, "bin", "python")))
	require.False(t, cloud.VenvComplete(moved, requirements), "the interpreter is gone")
}

func TestSourceHashFollowsWhatIsDeployedAndNothingElse(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	write := func(name, content string) {
		path := filepath.Join(root, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
	}
	hash := func(also ...string) string {
		h, err := cloud.SourceHash(root, also)
		require.NoError(t, err)
		return h
	}
	write("template.yaml", "a")
	write("functions/api/main.go", "package main")
	write("shared/dataset/classicmodels.yaml", "tables:")
	first := hash("x")
	require.NotEqual(t, first, hash("y"), "a parameter")

	write("functions/api/handler_test.go", "package main_test")
	write("shared/dataset/testdata/bad.yaml", "tables:")
	write("README.md", "text")
	require.Equal(t, first, hash("x"), "tests and documents are not deployed")

	for _, name := range []string{"template.yaml", "functions/api/main.go", "shared/dataset/classicmodels.yaml", "samconfig.toml"} {
		before := hash("x")
		write(name, "changed")
		require.NotEqual(t, before, hash("x"), name)
	}
}

func TestADSNThatTheFunctionsCannotUseIsRefused(t *testing.T) {
	t.Parallel()
	for dsn, says := range map[string]string{
		"shop:secret@unix(/run/mysqld.sock)/shop": "host and port",
		"shop:secret@tcp(127.0.0.1:3306)/":        "names no database",
		"nonsense":                                "write user:password@tcp(host:port)/database",
	} {
		_, err := cloud.MySQLSecret(dsn)
		require.ErrorContains(t, err, says, dsn)
		require.NotContains(t, err.Error(), "secret@", "the password is not shown")
	}
	secret, err := cloud.MySQLSecret("shop:secret@tcp(db.example:3307)/classicmodels?tls=skip-verify")
	require.NoError(t, err)
	require.Equal(t, "db.example", secret.Host)
	require.Equal(t, 3307, secret.Port)
	require.Equal(t, "skip-verify", secret.TLS)
}
