package lake

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// Names of the markers that end a publication.
const (
	rawMarker     = "_MANIFEST.json"
	rawCheckpoint = "_CHECKPOINT.json" // no marker: no event is for it
	successMarker = "_SUCCESS"
	modelMarker   = "manifest.json"
)

// NullPartition is Hive's name for a NULL partition value.
const NullPartition = "__HIVE_DEFAULT_PARTITION__"

// RawRoot holds all runs of a table.
func RawRoot(table string) string { return "raw/" + Escape(table) + "/" }

// RawDir is where one run of a table lands.
func RawDir(table string, run Run) string {
	return RawRoot(table) + "dt=" + run.Date() + "/run=" + string(run) + "/"
}

// RawPart is the key of a run's n-th Avro file.
func RawPart(table string, run Run, n int) string {
	return fmt.Sprintf("%spart-%05d.avro", RawDir(table, run), n)
}

// RawVariant is the key of a run's n-th Avro file whose content differs from that of an earlier attempt,
// which may still be at work: the first variant is RawPart's, and no object is replaced.
func RawVariant(table string, run Run, n, variant int) string {
	if variant == 0 {
		return RawPart(table, run, n)
	}
	return fmt.Sprintf("%spart-%05d-%d.avro", RawDir(table, run), n, variant)
}

// RawCheckpointKey is where a running extraction says how far it has come.
func RawCheckpointKey(table string, run Run) string { return RawDir(table, run) + rawCheckpoint }

// RawMarker is the key of a run's manifest, written after its files.
func RawMarker(table string, run Run) string { return RawDir(table, run) + rawMarker }

// CuratedRoot holds all days of a table.
func CuratedRoot(table string) string { return "curated/" + Escape(table) + "/" }

// CuratedDir holds a table's Parquet files of one day.
func CuratedDir(table string, run Run) string { return CuratedRoot(table) + "dt=" + run.Date() + "/" }

// CuratedPart is the key of the n-th file of a partition ("" for an unpartitioned table, else from Partition).
func CuratedPart(table string, run Run, partition string, n int) string {
	return fmt.Sprintf("%s%spart-%05d.parquet", CuratedDir(table, run), partition, n)
}

// CuratedMarker is the key of the marker that publishes a table's day.
func CuratedMarker(table string, run Run) string { return CuratedDir(table, run) + successMarker }

// TrainingRoot holds all days of a dataset's training set.
func TrainingRoot(dataset string) string { return "training/" + Escape(dataset) + "/" }

// TrainingDir holds a dataset's training set of one day.
func TrainingDir(dataset string, run Run) string {
	return TrainingRoot(dataset) + "dt=" + run.Date() + "/"
}

// TrainingPart is the key of the n-th file of a training set.
func TrainingPart(dataset string, run Run, n int) string {
	return fmt.Sprintf("%spart-%05d.parquet", TrainingDir(dataset, run), n)
}

// TrainingUnload holds what Athena wrote towards a training set. Queries pass over it, because of the underscore.
func TrainingUnload(dataset string, run Run, name string) string {
	return TrainingDir(dataset, run) + "_unload-" + name + "/"
}

// TrainingMarker is the key of the marker that publishes a training set.
func TrainingMarker(dataset string, run Run) string { return TrainingDir(dataset, run) + successMarker }

// ModelDir holds one version's artifact.
func ModelDir(version string) string { return "models/" + version + "/" }

// ModelMarker is the key of a version's manifest, written after its files.
func ModelMarker(version string) string { return ModelDir(version) + modelMarker }

// QuarantineDir holds what a function rejected on one day (YYYY-MM-DD).
func QuarantineDir(function, day string) string { return "quarantine/" + function + "/dt=" + day + "/" }

// What Firehose delivers lies in folders of an hour, in UTC.
const (
	ActivityRoot        = "activity/"
	RecommendationsRoot = "recommendations/"
	HourLayout          = "2006/01/02/15"
)

// ReplayRoot holds what a model would have recommended, below the replay's name.
const ReplayRoot = "replay/"

// ReplayDir holds one replay: its marker, and below recommendations/ the same folders as the activity it is of.
func ReplayDir(name string) string { return ReplayRoot + name + "/" }

var delivered = regexp.MustCompile(`(?:^|-)(\d{4}-\d\d-\d\d-\d\d-\d\d-\d\d)-[^/]*$`)

// Delivered tells when the first record of an object that Firehose wrote arrived: Firehose writes it into the name, to the second.
// https://docs.aws.amazon.com/firehose/latest/dev/s3-object-name.html
func Delivered(key string) (time.Time, bool) {
	m := delivered.FindStringSubmatch(key[strings.LastIndexByte(key, '/')+1:])
	if m == nil {
		return time.Time{}, false
	}
	at, err := time.Parse("2006-01-02-15-04-05", m[1])
	return at, err == nil
}

// Partition is one level of a partitioned table's folder, as Hive writes it: "col=value/".
func Partition(column, value string, null bool) string {
	if null {
		return Escape(column) + "=" + NullPartition + "/"
	}
	return Escape(column) + "=" + Escape(value) + "/"
}

// Escape percent-encodes what Hive encodes in a path (FileUtils.escapePathName), and leaves
// other bytes, UTF-8 included, as they are. The empty string becomes NullPartition, as in Hive; "." and "..", which are no names
// in a directory, have their points encoded.
func Escape(s string) string {
	switch s {
	case "":
		return NullPartition
	case ".", "..":
		return strings.Repeat("%2E", len(s))
	}
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c == 0x7F || strings.IndexByte("\"#%'*/:=?\\{[]^", c) >= 0 {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

var rawMarkerKey = regexp.MustCompile(`^raw/[^/]+/dt=(\d{4}-\d\d-\d\d)/run=([^/]+)/_MANIFEST\.json$`)
var successKey = regexp.MustCompile(`^(curated|training)/[^/]+/dt=\d{4}-\d\d-\d\d/_SUCCESS$`)
var modelMarkerKey = regexp.MustCompile(`^models/[A-Za-z0-9._-]+/manifest\.json$`)

// ErrForeignKey says that an event names an object that is none of the lake's markers.
var ErrForeignKey = errors.New("not a marker of the lake")

// Layer says which marker a key is: "raw", "curated", "training" or "models". The key is
// checked whole: an event must not make a function read elsewhere.
func Layer(key string) (string, error) {
	layer, _, _ := strings.Cut(key, "/")
	if !strings.Contains(key, "..") &&
		(rawMarkerKey.MatchString(key) || successKey.MatchString(key) || modelMarkerKey.MatchString(key)) {
		return layer, nil
	}
	return "", fmt.Errorf("key %q: %w (raw/<table>/dt=…/run=…/_MANIFEST.json, curated|training/<name>/dt=…/_SUCCESS, models/<version>/manifest.json)", key, ErrForeignKey)
}

// CheckpointRun tells which run a checkpoint's key belongs to.
func CheckpointRun(key string) (Run, bool) {
	dir, ok := strings.CutSuffix(key, "/"+rawCheckpoint)
	if !ok {
		return "", false
	}
	return RunOf(dir + "/" + rawMarker)
}

// RunOf tells which run a raw manifest's key belongs to.
func RunOf(key string) (Run, bool) {
	m := rawMarkerKey.FindStringSubmatch(key)
	if m == nil {
		return "", false
	}
	run, err := ParseRun(m[2])
	return run, err == nil
}
