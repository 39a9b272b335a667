package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/millrace/millrace/shared/als"
	"github.com/millrace/millrace/shared/features"
	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/model"
	"github.com/millrace/millrace/shared/modelloader"
	"github.com/millrace/millrace/shared/vectorstore"
)

const (
	dimension = 64
	users     = 10_000
	centres   = 1000 // around which items lie, as those of real models do; independent numbers have no neighbours to speak of
	readers   = 2
	calm      = 5 * time.Second
	seed      = 7
)

// loader measures how long models take from the artifact to being served, and what readers notice of it, in a database of its own.
func loader(ctx context.Context, sizes []int, out *strings.Builder) (err error) {
	server := os.Getenv("POSTGRES_URL")
	admin, err := pgx.Connect(ctx, server)
	if err != nil {
		return err
	}
	defer admin.Close(context.WithoutCancel(ctx))
	var version, settings string
	err = admin.QueryRow(ctx, `select current_setting('server_version'), (select string_agg(name || ' ' || current_setting(name), ', ' order by name) from pg_settings
		where name in ('shared_buffers', 'max_parallel_maintenance_workers', 'fsync'))`).Scan(&version, &settings)
	if err != nil {
		return err
	}
	name := fmt.Sprintf("bench_%d", time.Now().UnixNano())
	if _, err := admin.Exec(ctx, "create database "+name); err != nil {
		return err
	}
	defer func() {
		_, failed := admin.Exec(context.WithoutCancel(ctx), "drop database "+name+" with (force)")
		err = errors.Join(err, failed)
	}()
	at, err := url.Parse(server)
	if err != nil {
		return errors.New("POSTGRES_URL is no URL")
	}
	at.Path = "/" + name
	fmt.Fprintf(out, "\n### From the artifact to being served\n\nPostgreSQL %s (%s); d = %d, %d users; %d readers ask for the active version and two users all the time. Seed %d.\n\n",
		version, settings, dimension, users, readers, seed)
	out.WriteString("| items | to active s | read, verify, COPY s | rows/s | two HNSW indexes s | recall s | recall@10 | prewarm s | readers before: p50, p99, longest ms | during | errors |\n")
	out.WriteString("|---:|---:|---:|---:|---:|---:|---|---:|---|---|---:|\n")
	for n, count := range sizes {
		if err := loaded(ctx, at.String(), count, n+1, out); err != nil {
			return fmt.Errorf("load %d items: %w", count, err)
		}
	}
	return nil
}

// loaded loads a small model, then the one of this size while it is served.
func loaded(ctx context.Context, database string, count, round int, out *strings.Builder) error {
	store, err := vectorstore.Open(ctx, vectorstore.URL(database))
	if err != nil {
		return err
	}
	defer store.Close()
	if err := store.Migrate(ctx); err != nil {
		return err
	}
	if _, _, err := load(ctx, store, 1000, fmt.Sprintf("%d-small", round)); err != nil {
		return err
	}
	before, err := read(ctx, database, func() error {
		time.Sleep(calm)
		return nil
	})
	if err != nil {
		return err
	}
	var outcome vectorstore.Outcome
	var took time.Duration
	during, err := read(ctx, database, func() (err error) {
		outcome, took, err = load(ctx, store, count, fmt.Sprintf("%d-subject", round))
		return err
	})
	if err != nil {
		return err
	}
	_, recall, _ := strings.Cut(outcome.Index, "probes: ")
	t := outcome.Took
	fmt.Fprintf(out, "| %d | %.1f | %.1f | %.0f | %.1f | %.1f | %s | %.2f | %s | %s | %d |\n", count, took.Seconds(), t.Copy.Seconds(), float64(count+users)/t.Copy.Seconds(),
		t.Index.Seconds(), t.Recall.Seconds(), cmp.Or(recall, outcome.Index), t.Prewarm.Seconds(), before, during, during.failed)
	return nil
}

// load publishes a model in a directory, which is not measured, and loads it.
func load(ctx context.Context, store *vectorstore.Store, count int, version string) (out vectorstore.Outcome, took time.Duration, err error) {
	dir, err := os.MkdirTemp("", "millrace-bench-")
	if err != nil {
		return out, 0, err
	}
	defer os.RemoveAll(dir)
	objects := lake.NewDirectory(dir)
	if err := publish(ctx, objects, count, version); err != nil {
		return out, 0, err
	}
	started := time.Now()
	out, err = modelloader.Load(ctx, objects, store, lake.ModelMarker(version))
	if err == nil && !out.Activated {
		err = errors.New(out.Reason)
	}
	return out, time.Since(started), err
}

func publish(ctx context.Context, objects lake.Store, count int, version string) error {
	random := rand.New(rand.NewPCG(seed, uint64(count)))
	middle := make([]float32, centres*dimension)
	for k := range middle {
		middle[k] = float32(random.NormFloat64())
	}
	entities := func(n int) []model.Entity {
		list := make([]model.Entity, n)
		for i := range list {
			id := fmt.Sprintf("%08d", i)
			list[i] = model.Entity{ID: id, Name: "Item " + id, Embedding: make([]float32, dimension), Bias: float32(random.Float64()), Features: features.Record{"line": "Ships"}}
			centre := middle[random.IntN(centres)*dimension:]
			for j := range list[i].Embedding {
				list[i].Embedding[j] = centre[j] + .5*float32(random.NormFloat64())
			}
		}
		return list
	}
	items := entities(count)
	seen, err := als.Collect(1, 1, []als.Interaction{{Weight: 1}})
	if err != nil {
		return err
	}
	_, _, err = model.Write(ctx, model.Destination{Store: objects, Dir: lake.ModelDir(version), Version: version, Dataset: "bench", Run: lake.Run(version)}, model.Content{
		Items: items, Users: entities(users),
		Encoder: features.Encoder{
			Format: features.EncoderFormat, Dimension: dimension, Alpha0: .1, Lambda: .01, Items: count, Users: users, WeightUnit: 1,
			Gramian: make([]float32, dimension*dimension), MeanUser: make([]float32, dimension),
		},
		Metrics: model.Metrics{State: lake.Candidate, Reason: "benchmark"},
		Seen:    model.Seen{Users: []string{"00000000"}, Items: []string{"00000000"}, Matrix: seen},
	})
	return err
}

// latencies are what readers saw.
type latencies struct {
	all    []time.Duration
	failed int
}

func (l latencies) String() string {
	if len(l.all) == 0 {
		return "nothing read"
	}
	slices.Sort(l.all)
	at := func(share float64) float64 { return 1e3 * l.all[int(share*float64(len(l.all)-1))].Seconds() }
	return fmt.Sprintf("%.2f, %.2f, %.1f (%d reads)", at(.5), at(.99), at(1), len(l.all))
}

// read reads as the recommender does for each batch, the active version and two of its users, on connections of its own, until work is done.
func read(ctx context.Context, database string, work func() error) (l latencies, err error) {
	var mutex sync.Mutex
	var group sync.WaitGroup
	done := make(chan struct{})
	for range readers {
		store, err := vectorstore.Open(ctx, vectorstore.URL(database))
		if err != nil {
			return l, err
		}
		defer store.Close()
		group.Go(func() {
			for {
				select {
				case <-done:
					return
				case <-time.After(time.Millisecond): // readers are to notice the load, not to be one
				}
				started := time.Now()
				active, err := store.Active(ctx)
				if err == nil {
					_, err = store.Users(ctx, active, []string{"00000007", "00000008"})
				}
				took := time.Since(started)
				mutex.Lock()
				l.all = append(l.all, took)
				if err != nil {
					l.failed++
				}
				mutex.Unlock()
			}
		})
	}
	err = work()
	close(done)
	group.Wait()
	return l, err
}
