package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/user"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/shared/lake"
	"github.com/millrace/millrace/shared/model"
	"github.com/millrace/millrace/shared/modelloader"
	"github.com/millrace/millrace/shared/vectorstore"
)

// loaded is what became of a model that was loaded by hand.
type loaded struct {
	Version   string `json:"version"`
	Activated bool   `json:"activated"`
	Reason    string `json:"reason"`
	Replaced  string `json:"replaced,omitempty"`
	Items     int64  `json:"items"`
	Users     int64  `json:"users"`
	Dimension int    `json:"dimension"`
	Index     string `json:"index,omitempty"`
	Prewarmed string `json:"prewarmed,omitempty"`
}

func newLoad(o *options) *cobra.Command {
	var dir, postgres, reason string
	var anyway bool
	cmd := &cobra.Command{
		Use:   "load --model DIR --postgres URL",
		Short: "Load the artifact in a directory into a PostgreSQL and make it active",
		Long: `Load the artifact in a directory (millrace train writes one) into a PostgreSQL with pgvector and make it active, whatever its run. What the loader
checks in the cloud is checked here: every byte against the manifest, dimensions, lengths of vectors, ids, counts; then the index's recall.
The schema millrace is made if it is not there. Whatever goes wrong, the active model stays. Loading what is active changes nothing.

URL is postgres://user:password@host:5432/database; its user owns the schema millrace. Without --postgres, it is POSTGRES_URL.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			at := cmp.Or(postgres, os.Getenv("POSTGRES_URL"))
			if at == "" {
				return errors.New("name the database: --postgres postgres://user:password@host:5432/database, or POSTGRES_URL")
			}
			l, err := loadDirectory(cmd.Context(), dir, at, modelloader.Promotion{Promotion: vectorstore.Promotion{By: operator(), Reason: reason}, Anyway: anyway})
			if err != nil {
				return err
			}
			return o.show(cmd.OutOrStdout(), l, l.print)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&dir, "model", "", "directory of the artifact")
	flags.StringVar(&postgres, "postgres", "", "the database's URL; default: POSTGRES_URL, which keeps the password out of the list of processes")
	flags.BoolVar(&anyway, "anyway", false, "though the trainer rejected it")
	flags.StringVar(&reason, "reason", "millrace load", "why: it is recorded")
	required(cmd, "model")
	return cmd
}

func loadDirectory(ctx context.Context, dir, postgres string, p modelloader.Promotion) (loaded, error) {
	artifact, err := openArtifact(ctx, dir)
	if err != nil {
		return loaded{}, err
	}
	at, err := url.Parse(postgres)
	if err != nil || at.Scheme != "postgres" && at.Scheme != "postgresql" {
		return loaded{}, errors.New("--postgres is no URL such as postgres://user:password@host:5432/database") // what it is may hold a password
	}
	store, err := vectorstore.Open(ctx, vectorstore.URL(postgres))
	if err != nil {
		return loaded{}, err
	}
	defer store.Close()
	out, err := modelloader.Promote(ctx, lake.NewDirectory(dir), store, model.ManifestFile, p)
	if err != nil {
		return loaded{}, err
	}
	m := artifact.Manifest
	return loaded{
		Version: out.Version, Activated: out.Activated, Reason: out.Reason, Replaced: out.Replaced,
		Items: m.Counts.Items, Users: m.Counts.Users, Dimension: m.Dimension, Index: out.Index, Prewarmed: out.Prewarmed,
	}, nil
}

func (l loaded) print(w io.Writer) {
	if !l.Activated {
		fmt.Fprintf(w, "%s: %s\n", l.Version, l.Reason)
		return
	}
	fmt.Fprintf(w, "%s is active, %s", l.Version, l.Reason)
	if l.Replaced != "" {
		fmt.Fprintf(w, "; it replaced %s, which keeps its tables", l.Replaced)
	}
	fmt.Fprintf(w, "\n  %s, %s, dimension %d; search: %s; prewarmed: %s\n", plural(int(l.Items), "item"), plural(int(l.Users), "user"), l.Dimension, l.Index, l.Prewarmed)
}

// operator is who decides at this terminal.
func operator() string {
	u, err := user.Current()
	if err != nil {
		return "somebody at a terminal"
	}
	return u.Username
}
