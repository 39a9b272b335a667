package gotest_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/local/gotest"
)

// report runs go test -json over a module with the given test file.
func report(t *testing.T, source string) []byte {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module example.com/m\n\ngo 1.26\n"), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "m_test.go"), []byte(source), 0o644))
	cmd := exec.CommandContext(t.Context(), "go", "test", "-json", ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off")
	out, _ := cmd.Output() // its exit status is not what is tested here
	return out
}

func TestFailuresAndSkipsAreShownAndPassesAreNot(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	summary, err := gotest.Show(bytes.NewReader(report(t, `package m

import "testing"

func TestPasses(t *testing.T)  { t.Log("all is well") }
func TestSkips(t *testing.T)   { t.Skip("no Docker") }
func TestFails(t *testing.T)   { t.Run("deep", func(t *testing.T) { t.Error("it broke") }) }
`)), &out, false)
	require.NoError(t, err)
	require.Equal(t, gotest.Summary{Passed: 1, Failed: 2, Skipped: 1}, summary)
	for _, shown := range []string{"no Docker", "--- SKIP: TestSkips", "it broke", "--- FAIL: TestFails/deep", "FAIL\texample.com/m"} {
		require.Contains(t, out.String(), shown)
	}
	require.NotContains(t, out.String(), "all is well")
	require.NotContains(t, out.String(), "=== RUN")
}

func TestSeedsAndFiguresOfPassesAreShown(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	_, err := gotest.Show(bytes.NewReader(report(t, `package m

import "testing"

func TestPasses(t *testing.T) {
	t.Logf("seed %d", 4)
	t.Log("seedless, and no figures: 1")
	t.Run("deep", func(t *testing.T) { t.Parallel(); t.Log("figures: p99 2 ms\nand more") })
	t.Run("deeper", func(t *testing.T) { t.Parallel(); t.Log("seed 5: lost=0") })
}
`)), &out, false)
	require.NoError(t, err)
	lines := strings.Split(out.String(), "\n")
	require.ElementsMatch(t, []string{"    TestPasses: seed 4", "    TestPasses/deep: figures: p99 2 ms", "    TestPasses/deeper: seed 5: lost=0"}, lines[:len(lines)-2], out.String())
	require.Contains(t, lines[len(lines)-2], "ok  \texample.com/m\t")
}

func TestVerboselyPassesAreShownToo(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	_, err := gotest.Show(bytes.NewReader(report(t, "package m\n\nimport \"testing\"\n\nfunc TestPasses(t *testing.T) { t.Log(\"seed 4\") }\n")), &out, true)
	require.NoError(t, err)
	require.Contains(t, out.String(), "seed 4")
	require.Contains(t, out.String(), "--- PASS: TestPasses")
}

func TestThePackagesOwnClosingLineIsShown(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	_, err := gotest.Show(bytes.NewReader(report(t, "package m\n\nimport \"testing\"\n\nfunc TestPasses(t *testing.T) {}\n")), &out, false)
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(out.String(), "ok  \texample.com/m\t"), out.String())
}

func TestWhatAPanickingTestSaidIsNotLost(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	_, err := gotest.Show(bytes.NewReader(report(t, `package m

import "testing"

func TestPanics(t *testing.T) { t.Log("the last words"); panic("out of paper") }
`)), &out, false)
	require.NoError(t, err)
	require.Contains(t, out.String(), "the last words")
	require.Contains(t, out.String(), "panic: out of paper")
}

func TestWhatDoesNotCompileIsShown(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	_, err := gotest.Show(bytes.NewReader(report(t, "package m\n\nfunc f() { undeclared() }\n")), &out, false)
	require.NoError(t, err)
	require.Contains(t, out.String(), "undefined: undeclared")
	require.Contains(t, out.String(), "FAIL\texample.com/m [build failed]")
}

func TestLinesThatAreNoReportAreShownAsTheyAre(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	_, err := gotest.Show(strings.NewReader("go: downloading x\n{\"other\": 1}\nno newline"), &out, false)
	require.NoError(t, err)
	require.Equal(t, "go: downloading x\n{\"other\": 1}\nno newline", out.String())
}
