package results_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/millrace/millrace/bench/results"
)

func TestResultsTakeThePlaceOfTheLast(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "RESULTS.md")
	if err := os.WriteFile(path, []byte("# Results\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, figure := range []string{"one\n", "two, which is longer\n"} {
		if err := results.Publish(path, "speed", figure); err != nil {
			t.Fatal(err)
		}
		after, _ := os.ReadFile(path)
		if figure == "one\n" {
			err := os.WriteFile(path, append(after, "what it means\n"...), 0o644)
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	after, _ := os.ReadFile(path)
	const begin, end = "<!-- bench-speed: written by make bench-speed -->", "<!-- /bench-speed -->"
	if want := "# Results\n\n" + begin + "\n\ntwo, which is longer\n\n" + end + "\nwhat it means\n"; string(after) != want {
		t.Errorf("got %q, want %q", after, want)
	}
}
