package scratch_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/scratch"
)

func TestAFullDiskSaysHowToGetRoom(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "small")
	require.NoError(t, os.Mkdir(dir, 0o755))
	if out, err := exec.CommandContext(t.Context(), "mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("a small file system cannot be mounted here: %s", out)
	}
	t.Cleanup(func() { require.NoError(t, exec.Command("umount", dir).Run()) })
	t.Setenv("TMPDIR", dir)
	f, err := scratch.New()
	require.NoError(t, err)
	_, err = f.Write(make([]byte, 1<<20))
	require.ErrorContains(t, err, "no space left on device: raise the function's EphemeralStorage in template.yaml")
	require.ErrorContains(t, err, dir)
	require.NoError(t, f.Close())
}
