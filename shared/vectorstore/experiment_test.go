package vectorstore_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/experiment"
	"github.com/millrace/millrace/shared/postgrestest"
	"github.com/millrace/millrace/shared/vectorstore"
)

func TestAnExperimentServesTwoVersionsUntilItEnds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, err := b.store.Serving(b.ctx)
	require.ErrorIs(t, err, vectorstore.ErrNoModel)
	_, err = b.store.LatestExperiment(b.ctx)
	require.ErrorIs(t, err, vectorstore.ErrNoExperiment)
	one, two := b.load(t, "1"), b.load(t, "2")
	now, err := b.store.Serving(b.ctx)
	require.NoError(t, err)
	require.Equal(t, vectorstore.Serving{Active: two}, now)
	version, variant := now.Variant("103")
	require.Equal(t, two, version)
	require.Equal(t, experiment.Active, variant)

	e, err := b.store.StartExperiment(b.ctx, one.Version, two.Version, 0.25, "me")
	require.NoError(t, err)
	require.Equal(t, []any{one.Version, two.Version, 0.25, "me"}, []any{e.Control, e.Treatment, e.Weight, e.By})
	require.Nil(t, e.StoppedAt)
	now, err = b.store.Serving(b.ctx)
	require.NoError(t, err)
	require.Equal(t, vectorstore.Serving{Control: one, Treatment: two, Experiment: e.N, Weight: 0.25}, now)
	require.Equal(t, []vectorstore.Reference{one, two}, now.Versions())

	e, err = b.store.WeighExperiment(b.ctx, 1, "you")
	require.NoError(t, err)
	require.Equal(t, "you", e.By)
	now, err = b.store.Serving(b.ctx)
	require.NoError(t, err)
	version, variant = now.Variant("103")
	require.Equal(t, two, version)
	require.Equal(t, experiment.Treatment, variant)
	require.Equal(t, []string{"0.25 me", "1 you"}, b.column(t, `select weight || ' ' || by from millrace.experiment_weight order by at`))

	e, err = b.store.StopExperiment(b.ctx, "seen enough")
	require.NoError(t, err)
	require.NotNil(t, e.StoppedAt)
	require.Equal(t, "seen enough", e.Ended)
	now, err = b.store.Serving(b.ctx)
	require.NoError(t, err)
	require.Equal(t, vectorstore.Serving{Active: two}, now)
	_, err = b.store.StopExperiment(b.ctx, "again")
	require.ErrorIs(t, err, vectorstore.ErrNoExperiment)
	_, err = b.store.WeighExperiment(b.ctx, 0.5, "me")
	require.ErrorIs(t, err, vectorstore.ErrNoExperiment)
}

func TestAnExperimentThatCannotServeDoesNotStart(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.load(t, "1")
	b.load(t, "2")
	b.load(t, "3") // the tables of 1 are gone
	start := func(control, treatment string, weight float64) error {
		_, err := b.store.StartExperiment(b.ctx, control, treatment, weight, "me")
		return err
	}
	var absent *vectorstore.NotLoadedError
	require.ErrorAs(t, start("1-abc", "3-abc", 0.5), &absent)
	require.Equal(t, []string{"1-abc"}, absent.Versions)
	require.ErrorAs(t, start("none", "1-abc", 0.5), &absent)
	require.Equal(t, []string{"none", "1-abc"}, absent.Versions)
	require.ErrorContains(t, start("3-abc", "3-abc", 0.5), "want two versions")
	for _, weight := range []float64{-0.1, 1.1, math.NaN(), math.Inf(1)} {
		require.ErrorContains(t, start("2-abc", "3-abc", weight), "from 0 to 1")
	}
	require.NoError(t, start("2-abc", "3-abc", 0))
	require.ErrorIs(t, start("3-abc", "2-abc", 0), vectorstore.ErrExperimentRuns)
	now, err := b.store.Serving(b.ctx)
	require.NoError(t, err)
	require.Equal(t, "2-abc", now.Control.Version)
}

func TestNightsKeepTheVersionsOfAnExperimentAndDecisionsEndIt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	one, two := b.load(t, "1"), b.load(t, "2")
	_, err := b.store.StartExperiment(b.ctx, one.Version, two.Version, 0.5, "me")
	require.NoError(t, err)
	for _, run := range []string{"3", "4", "5"} {
		b.load(t, run)
		for _, version := range []vectorstore.Reference{one, two} {
			_, err := b.store.Items(b.ctx, version, "", "")
			require.NoError(t, err, "the tables of %s after night %s", version.Version, run)
		}
		now, err := b.store.Serving(b.ctx)
		require.NoError(t, err)
		require.Equal(t, []vectorstore.Reference{one, two}, now.Versions())
	}
	_, _, err = b.store.Rollback(b.ctx, "me", "it was better")
	require.NoError(t, err)
	e, err := b.store.LatestExperiment(b.ctx)
	require.NoError(t, err)
	require.Equal(t, "rolled back to 4-abc", e.Ended)
	now, err := b.store.Serving(b.ctx)
	require.NoError(t, err)
	require.Equal(t, "4-abc", now.Active.Version)
	b.load(t, "6")
	_, err = b.store.Items(b.ctx, one, "", "")
	require.ErrorIs(t, err, vectorstore.ErrGone, "nobody needs it any more")

	_, err = b.store.StartExperiment(b.ctx, "4-abc", "6-abc", 0.5, "me")
	require.NoError(t, err)
	_, err = b.store.Promote(b.ctx, model("2"), vectorstore.Promotion{By: "me", Reason: "better"})
	require.NoError(t, err)
	e, err = b.store.LatestExperiment(b.ctx)
	require.NoError(t, err)
	require.Contains(t, e.Ended, "promoted by me")
	now, err = b.store.Serving(b.ctx)
	require.NoError(t, err)
	require.Equal(t, "2-abc", now.Active.Version)
}

func TestPromotingWhatIsActiveEndsAnExperiment(t *testing.T) {
	t.Parallel()
	b := setup(t)
	one, two := b.load(t, "1"), b.load(t, "2")
	_, err := b.store.StartExperiment(b.ctx, one.Version, two.Version, 0.5, "me")
	require.NoError(t, err)
	out, err := b.store.Promote(b.ctx, model("2"), vectorstore.Promotion{By: "me", Reason: "it is clear"})
	require.NoError(t, err)
	require.Equal(t, "already loaded, and active; the experiment has ended", out.Reason)
	e, err := b.store.LatestExperiment(b.ctx)
	require.NoError(t, err)
	require.Equal(t, "promoted by me: it is clear", e.Ended)
	out, err = b.store.Promote(b.ctx, model("2"), vectorstore.Promotion{By: "me", Reason: "again"})
	require.NoError(t, err)
	require.Equal(t, "already loaded, and active", out.Reason)

	for range 3 { // attempts that fail use up no numbers
		_, err = b.store.StartExperiment(b.ctx, one.Version, "nowhere", 0.5, "me")
		require.Error(t, err)
	}
	next, err := b.store.StartExperiment(b.ctx, one.Version, two.Version, 0.5, "me")
	require.NoError(t, err)
	require.Equal(t, e.N+1, next.N)
}

func TestAVersionLoadedAsideServesOnlyInAnExperiment(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.load(t, "1")
	b.load(t, "2")
	b.load(t, "3") // the tables of 1 are gone
	state := func(run string) string {
		return b.column(t, `select state from millrace.model_version where version = '`+run+`-abc'`)[0]
	}
	for _, run := range []string{"1", "9"} { // one that was active once, and one of a later run that never was
		out, err := b.store.LoadAside(b.ctx, model(run), "for an experiment, by me")
		require.NoError(t, err)
		require.Equal(t, vectorstore.Outcome{Version: run + "-abc", Reason: "for an experiment, by me", Index: "exact", Prewarmed: out.Prewarmed, Took: out.Took}, out)
		require.Equal(t, vectorstore.Ready, state(run))
		out, err = b.store.LoadAside(b.ctx, model(run), "again")
		require.NoError(t, err)
		require.Equal(t, "already loaded, and ready", out.Reason)
	}
	out, err := b.store.LoadAside(b.ctx, model("3"), "why not")
	require.NoError(t, err)
	require.Equal(t, "already loaded, and active", out.Reason)
	now, err := b.store.Serving(b.ctx)
	require.NoError(t, err)
	require.Equal(t, "3-abc", now.Active.Version)
	_, _, err = b.store.Rollback(b.ctx, "me", "it was better")
	require.NoError(t, err, "what rollback returns to is still there")
	_, _, err = b.store.Rollback(b.ctx, "me", "it was better")
	require.NoError(t, err)

	_, err = b.store.StartExperiment(b.ctx, "3-abc", "9-abc", 0.5, "me")
	require.NoError(t, err)
	b.load(t, "4")
	now, err = b.store.Serving(b.ctx)
	require.NoError(t, err)
	_, err = b.store.Items(b.ctx, now.Treatment, "", "")
	require.NoError(t, err)
	require.Equal(t, vectorstore.Retired, state("1"), "no experiment has come for it before the night")
	require.Equal(t, vectorstore.Ready, state("9"))
	_, err = b.store.StopExperiment(b.ctx, "seen enough")
	require.NoError(t, err)
	b.load(t, "5")
	require.Equal(t, vectorstore.Retired, state("9"))
	require.Len(t, b.column(t, `select tablename from pg_tables where schemaname = 'millrace' and tablename ~ '^(item|user)_v'`), 4, "of the active version and the previous one")
	_, err = b.store.Promote(b.ctx, model("9"), vectorstore.Promotion{By: "me", Reason: "it was better"})
	require.NoError(t, err)
	require.Equal(t, vectorstore.Active, state("9"))
}

func TestADatabaseThatKnowsNoExperimentsGoesOnServing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	active := b.load(t, "1")
	postgrestest.Exec(t, b.url, `drop table millrace.experiment_weight, millrace.experiment`)
	now, err := b.store.Serving(b.ctx)
	require.NoError(t, err)
	require.Equal(t, vectorstore.Serving{Active: active}, now)
	_, _, err = b.store.Rollback(b.ctx, "me", "it was better")
	require.ErrorIs(t, err, vectorstore.ErrNoPrevious)
}

func TestWhoServesReadsTheExperimentAndCannotChangeIt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	one, two := b.load(t, "1"), b.load(t, "2")
	_, err := b.store.StartExperiment(b.ctx, one.Version, two.Version, 0.5, "me")
	require.NoError(t, err)
	serving := open(t, login(t, b.url, "in role "+vectorstore.ServingRole))
	now, err := serving.Serving(b.ctx)
	require.NoError(t, err)
	require.Equal(t, []vectorstore.Reference{one, two}, now.Versions())
	_, err = serving.WeighExperiment(b.ctx, 1, "me")
	require.Error(t, err)
}

func TestAnExperimentNeverBeginsOnTablesThatAreBeingDropped(t *testing.T) {
	t.Parallel()
	b := setup(t)
	one, two := b.load(t, "1"), b.load(t, "2")
	endReader := b.holds(t, `lock table millrace.user_v1 in access share mode`)
	loaded, started := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := b.store.Load(b.ctx, model("3"))
		loaded <- err
	}()
	b.waits(t, "drop table") // the load is done, and clears up
	go func() {
		_, err := b.store.StartExperiment(b.ctx, one.Version, two.Version, 0.5, "me")
		started <- err
	}()
	b.waits(t, "select pg_advisory_xact_lock") // the experiment, for that
	endReader()
	require.NoError(t, <-loaded)
	var absent *vectorstore.NotLoadedError
	require.ErrorAs(t, <-started, &absent)
	require.Equal(t, []string{one.Version}, absent.Versions)
}

func TestAVersionThatIsNeededAgainIsNotDropped(t *testing.T) {
	t.Parallel()
	b := setup(t)
	one, two := b.load(t, "1"), b.load(t, "2")
	endReader := b.holds(t, `lock table millrace.item_v1 in access share mode`)
	out, err := b.store.Load(b.ctx, model("3")) // has looked what nobody needs, and waits in vain for a reader
	require.NoError(t, err)
	require.Contains(t, out.Reason, "tables of older versions stay until the next load")
	endReader()
	_, err = b.store.StartExperiment(b.ctx, one.Version, two.Version, 0.5, "me")
	require.NoError(t, err)
	gone, err := b.store.DropUnneeded(b.ctx, "item_v1") // listed before
	require.NoError(t, err)
	require.False(t, gone)
	now, err := b.store.Serving(b.ctx)
	require.NoError(t, err)
	_, err = b.store.Items(b.ctx, now.Control, "", "")
	require.NoError(t, err)
}
