package main

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/modelloader"
	"github.com/millrace/millrace/shared/shoptest"
	"github.com/millrace/millrace/shared/vectorstore"
)

// ask sends a command as the command line does.
func (l *loader) ask(t *testing.T, text string) (response, error) {
	t.Helper()
	var r request
	require.NoError(t, json.Unmarshal([]byte(text), &r))
	return l.Handle(t.Context(), r)
}

func TestAnExperimentIsStartedWeighedAndStoppedByCommand(t *testing.T) {
	t.Parallel()
	l, _ := setup(t)
	out, err := l.Handle(t.Context(), read(t, "loader-manifest.json"))
	require.NoError(t, err)
	next := shoptest.Load(t, l.store, "20261123T020000Z")

	status, err := l.ask(t, `{"command":"experiment","experiment":{"do":"status"}}`)
	require.NoError(t, err)
	require.Nil(t, status.Experiment)
	_, err = l.ask(t, `{"command":"experiment","experiment":{"do":"weigh","weight":0.5},"by":"me"}`)
	require.ErrorIs(t, err, vectorstore.ErrNoExperiment)
	started, err := l.Handle(t.Context(), read(t, "loader-experiment.json"))
	require.NoError(t, err)
	require.Equal(t, []any{out.Version, next, 0.1, "arn:aws:iam::000000000000:user/ops"},
		[]any{started.Experiment.Control, started.Experiment.Treatment, started.Experiment.Weight, started.Experiment.By})
	weighed, err := l.ask(t, `{"command":"experiment","experiment":{"do":"weigh","weight":0},"by":"me"}`)
	require.NoError(t, err)
	require.Zero(t, weighed.Experiment.Weight)
	active, err := lake.ReadActiveModel(t.Context(), l.objects)
	require.NoError(t, err)
	require.Equal(t, next, active.Version, "the pointer is beneath, and the trainer compares with it")
	stopped, err := l.ask(t, `{"command":"experiment","experiment":{"do":"stop"},"by":"me","reason":"seen enough"}`)
	require.NoError(t, err)
	require.Equal(t, "stopped by me: seen enough", stopped.Experiment.Ended)
	status, err = l.ask(t, `{"command":"experiment","experiment":{"do":"status"}}`)
	require.NoError(t, err)
	require.Equal(t, stopped.Experiment, status.Experiment)
}

func TestAnExperimentThatNobodyDecidedOrWithoutWeightIsRefused(t *testing.T) {
	t.Parallel()
	l, _ := setup(t)
	_, err := l.Handle(t.Context(), read(t, "loader-manifest.json"))
	require.NoError(t, err)
	for text, want := range map[string]string{
		`{"command":"experiment","experiment":{"do":"start","control":"a","treatment":"b","weight":0.5}}`: "who decides",
		`{"command":"experiment","experiment":{"do":"start","control":"a","treatment":"b"},"by":"me"}`:    "want a weight",
		`{"command":"experiment","experiment":{"do":"begin"},"by":"me"}`:                                  "there are start",
	} {
		_, err := l.ask(t, text)
		require.ErrorContains(t, err, want)
	}
}

func TestAnExperimentLoadsWhatWasNeverActive(t *testing.T) {
	t.Parallel()
	l, _ := setup(t)
	require.NoError(t, l.store.Migrate(t.Context()))
	shoptest.Load(t, l.store, "20261123T020000Z")
	active := shoptest.Load(t, l.store, "20261124T020000Z") // the published version is older, and nobody has loaded it
	rejected := "20261125T020000Z-00000000"
	publish(t, l.objects, rejected, lake.Rejected)
	_, err := l.Handle(t.Context(), request{Command: "experiment", By: "me", Experiment: experimentRequest{Do: "start", Control: active, Treatment: rejected, Weight: new(0.1)}})
	require.ErrorIs(t, err, modelloader.ErrRejected)
	for _, wrong := range []string{"../raw", "nowhere"} {
		_, err := l.Handle(t.Context(), request{Command: "experiment", By: "me", Experiment: experimentRequest{Do: "start", Control: active, Treatment: wrong, Weight: new(0.1)}})
		require.ErrorContains(t, err, wrong)
	}
	started, err := l.Handle(t.Context(), request{Command: "experiment", By: "me", Experiment: experimentRequest{Do: "start", Control: version, Treatment: rejected, Weight: new(0.1), Anyway: true}})
	require.NoError(t, err)
	require.Equal(t, []string{version, rejected}, []string{started.Experiment.Control, started.Experiment.Treatment})
	now, err := l.store.Serving(t.Context())
	require.NoError(t, err)
	for _, v := range now.Versions() {
		items, err := l.store.Items(t.Context(), v, "", "")
		require.NoError(t, err)
		require.Equal(t, []string{"S10_1678"}, items.IDs)
	}
	pointer, err := l.store.Active(t.Context())
	require.NoError(t, err)
	require.Equal(t, active, pointer.Version)
	versions, err := l.store.Versions(t.Context())
	require.NoError(t, err)
	reasons := map[string]string{}
	for _, v := range versions {
		reasons[v.Version] = v.State + " " + v.Reason
	}
	require.Equal(t, "ready for an experiment, by me (though the trainer rejected it: worse than the active model)", reasons[rejected])
	require.Equal(t, "ready for an experiment, by me", reasons[version])
}
