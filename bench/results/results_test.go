package results_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/millrace/millrace/bench/results"
)

func TestResultsTakeThePlaceOfTheLast(t *testing.T) {
	t.Parallel()
	const begin, end = "<!-- bench: written by make -->", "<!-- /bench -->"
	path := filepath.Join(t.TempDir(), "RESULTS.md")
	if err := os.WriteFile(path, []byte("# Results\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, figure := range []string{"one", "two, which is longer"} {
		if err := results.Replace(path, begin, end, begin+"\n"+figure+"\n"+end+"\n"); err != nil {
			t.Fatal(err)
		}
		after, _ := os.ReadFile(path)
		if figure == "one" {
			err := os.WriteFile(path, append(after, "what it means\n"...), 0o644)
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	after, _ := os.ReadFile(path)
	if want := "# Results\n\n" + begin + "\ntwo, which is longer\n" + end + "\nwhat it means\n"; string(after) != want {
		t.Errorf("got %q, want %q", after, want)
	}
}
