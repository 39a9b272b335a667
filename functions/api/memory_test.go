package main

import (
	"bufio"
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime/debug"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/activemodel"
	"github.com/millrace/millrace/shared/als"
	"github.com/millrace/millrace/shared/dataset"
	"github.com/millrace/millrace/shared/features"
	"github.com/millrace/millrace/shared/postgrestest"
	"github.com/millrace/millrace/shared/vectorstore"
)

const (
	smallestFunction = 128 << 20 // of Lambda
	// servedDatabase makes the test's program an API over that database.
	servedDatabase = "MILLRACE_TEST_SERVED_DATABASE"
)

// TestTheSmallestFunctionReplacesModelsThatJustFitWithinItsMemory serves in a process of its own, whose peak is its own.
func TestTheSmallestFunctionReplacesModelsThatJustFitWithinItsMemory(t *testing.T) {
	if database := os.Getenv(servedDatabase); database != "" {
		serve(t, database)
		return
	}
	t.Parallel()
	const dimension = 256
	database := postgrestest.Database(t)
	store, err := vectorstore.Open(t.Context(), vectorstore.URL(database))
	require.NoError(t, err)
	t.Cleanup(store.Close)
	require.NoError(t, store.Migrate(t.Context()))
	a := startServed(t, database)
	items := sort.Search(math.MaxInt32, func(n int) bool { return activemodel.Need(int64(n), dimension, true) > a.budget }) - 1
	m := generated(t, items, dimension)
	for n := range 4 {
		m.Version, m.Run = fmt.Sprintf("v%d", n), fmt.Sprint(n)
		_, err := store.Load(t.Context(), m)
		require.NoError(t, err)
		for k := range 50 {
			require.Equal(t, m.Version, a.get(t, fmt.Sprintf("/users/u/recommendations?limit=%d", k+1)).Version)
			require.Len(t, a.get(t, "/items/"+itemID(k*97%items)+"/similar").Similar, defaultLimit)
		}
		t.Logf("%d items, version %d: peak %d KiB", items, n, a.peak(t)>>10)
	}
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		return // the race detector has memory of its own
	}
	require.LessOrEqual(t, a.peak(t), int64(smallestFunction))
	require.Equal(t, 4, strings.Count(a.end(), "searched_in=memory"))
}

// served is an API in a process of its own.
type served struct {
	address string
	budget  int64
	process *exec.Cmd
	said    bytes.Buffer
}

func startServed(t *testing.T, database string) *served {
	a := &served{process: exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.count=1")}
	a.process.Env = append(os.Environ(), servedDatabase+"="+database, fmt.Sprintf("AWS_LAMBDA_FUNCTION_MEMORY_SIZE=%d", smallestFunction>>20))
	a.process.Stderr = &a.said
	out, err := a.process.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, a.process.Start())
	t.Cleanup(func() {
		if said := a.end(); t.Failed() {
			t.Log(said)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	_, err = fmt.Sscan(line, &a.address, &a.budget)
	require.NoError(t, err, line)
	return a
}

// end ends the process and returns its log.
func (a *served) end() string {
	_ = a.process.Process.Kill()
	_ = a.process.Wait()
	return a.said.String()
}

func serve(t *testing.T, database string) {
	shop, err := dataset.Load("classicmodels")
	require.NoError(t, err)
	store, err := vectorstore.Open(t.Context(), vectorstore.URL(database))
	require.NoError(t, err)
	budget := activemodel.BoundMemory()
	a := &api{names: shop.Event, models: activemodel.New(store, shop, budget), store: store, now: time.Now}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	fmt.Println(listener.Addr(), budget)
	require.NoError(t, http.Serve(listener, a.Handler()))
}

func (a *served) get(t *testing.T, target string) answer {
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+a.address+target, nil)
	require.NoError(t, err)
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	require.Equal(t, http.StatusOK, response.StatusCode)
	return bundle{}.read(t, response.StatusCode, response.Header, response.Body)
}

// peak is the most memory that the process has had.
func (a *served) peak(t *testing.T) int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", a.process.Process.Pid))
	require.NoError(t, err)
	_, line, _ := strings.Cut(string(status), "VmHWM:")
	var kibibytes int64
	_, err = fmt.Sscan(line, &kibibytes)
	require.NoError(t, err)
	return kibibytes << 10
}

func itemID(n int) string { return fmt.Sprintf("S%07d", n) }

// generated is a model of random vectors, with as many co-occurrences as an item may have.
func generated(t *testing.T, items, dimension int) vectorstore.Model {
	random := rand.New(rand.NewPCG(1, 2))
	rows := make([]float32, items*dimension)
	for k := range rows {
		rows[k] = float32(random.NormFloat64())
	}
	others, strengths := make([]int32, 50), slices.Repeat([]float32{.5}, 50)
	var encoder bytes.Buffer
	require.NoError(t, features.WriteEncoder(&encoder, &features.Encoder{
		Format: features.EncoderFormat, Version: "v", Dimension: dimension, Alpha0: 0.05, Lambda: 0.02, WeightUnit: 1, Items: items, Users: 1,
		Gramian: als.Gramian(rows[:1000*dimension], dimension), MeanUser: rows[:dimension], Blend: 1,
	}))
	return vectorstore.Model{
		Dataset: "classicmodels", ManifestKey: "k", ManifestSHA256: "s", Dimension: dimension, Distance: "inner_product", Metrics: []byte(`{}`),
		Encoder: encoder.Bytes(), ItemCount: int64(items), UserCount: 1,
		Items: func(yield func(vectorstore.Entity, error) bool) {
			for n := range items {
				if !yield(vectorstore.Entity{
					ID: itemID(n), Name: fmt.Sprintf("1957 Corvette Convertible %d", n), Embedding: rows[n*dimension : (n+1)*dimension], Bias: float32(n),
					Features: map[string]string{"quantityInStock": fmt.Sprint(n + 1), "productLine": fmt.Sprint("Line ", n%100)},
				}, nil) {
					return
				}
			}
		},
		Users: func(yield func(vectorstore.Entity, error) bool) {
			yield(vectorstore.Entity{ID: "u", Name: "u", Embedding: rows[:dimension]}, nil)
		},
		Cooccurrences: func(yield func(vectorstore.Neighbours, error) bool) {
			for n := range items {
				for k := range others {
					others[k] = int32((n + k + 1) % items)
				}
				if !yield(vectorstore.Neighbours{Item: int32(n), Others: others, Strengths: strengths}, nil) {
					return
				}
			}
		},
	}
}
