package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/model"
	"github.com/millrace/millrace/shared/modelmemory"
	"github.com/millrace/millrace/shared/replay"
)

func newReplay(o *options) *cobra.Command {
	var from, to, version, name string
	cmd := &cobra.Command{
		Use:   "replay --from TIME",
		Short: "Run stored activity through a model version, beside what was recommended then",
		Long: `Run the shop events in activity/ through any published model version, here, and write what it would have recommended to
replay/<name>/recommendations/. No user's state is read or changed, and the stream is not touched. An answer depends on the event and the
model alone, so compare a replay with a replay: millrace compare replay/<name> replay/<other>. Done again, it goes on where it ended.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			start, end, err := parsePeriod(from, to, time.Now())
			if err != nil {
				return err
			}
			s, err := o.openStack(ctx)
			if err != nil {
				return err
			}
			m, err := s.readModel(ctx, version)
			if err != nil {
				return err
			}
			result, err := replay.Run(ctx, s.lake, m, m.Version, cmp.Or(name, m.Version), s.dataset.Event, replay.Period{From: start, To: end})
			if err != nil {
				return err
			}
			return o.show(cmd.OutOrStdout(), result, func(w io.Writer) {
				fmt.Fprintf(w, "%s in %s of %s, %d rejected, %d objects replayed before\n", plural(int(result.Records), "record"),
					lake.ReplayDir(result.Name), result.ModelVersion, result.Rejected, result.Before)
			})
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "activity from this day (2026-11-22) or time (2026-11-22T09:30:00Z) on")
	cmd.Flags().StringVar(&to, "to", "", "and before this one; default: now")
	cmd.Flags().StringVar(&version, "model", "", "model version; default: the active one")
	cmd.Flags().StringVar(&name, "name", "", "of the replay; default: the model version")
	required(cmd, "from")
	return cmd
}

// readModel reads a published version into memory; "" is the active one.
func (s *stack) readModel(ctx context.Context, version string) (*modelmemory.Model, error) {
	if version == "" {
		active, err := lake.ReadActiveModel(ctx, s.lake)
		if errors.Is(err, lake.ErrNotFound) {
			return nil, errors.New("no model was ever active: name one with --model")
		} else if err != nil {
			return nil, err
		}
		version = active.Version
	}
	artifact, err := model.Open(ctx, s.lake, lake.ModelMarker(version))
	if errors.Is(err, lake.ErrNotFound) {
		return nil, fmt.Errorf("there is no model %s in the lake: millrace status shows the versions", version)
	} else if err != nil {
		return nil, err
	}
	return modelmemory.Read(ctx, artifact, s.dataset)
}
