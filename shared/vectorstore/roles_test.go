package vectorstore_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/shared/postgrestest"
	"github.com/millrace/millrace/shared/vectorstore"
)

// login makes a user of the server with these rights, and returns the database's connection string for it.
func login(t *testing.T, database, rights string) string {
	name := "u_" + strings.ReplaceAll(uuid.NewString(), "-", "")
	postgrestest.Exec(t, database, "create role "+name+" login password 'first' "+rights)
	t.Cleanup(func() {
		postgrestest.Exec(t, database, "drop owned by "+name+" cascade; drop role "+name)
	})
	at, err := url.Parse(database)
	require.NoError(t, err)
	at.User = url.UserPassword(name, "first")
	return at.String()
}

func TestServingRoleReadsModelsAndWritesActivityAndNothingElse(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.load(t, "1")
	url := login(t, b.url, "in role "+vectorstore.ServingRole)
	serving := open(t, url)
	for _, run := range []string{"1", "2"} { // tables made before the user, and after
		if run == "2" {
			b.load(t, run)
		}
		active, err := serving.Active(b.ctx)
		require.NoError(t, err)
		list, err := serving.Items(b.ctx, active, "", "")
		require.NoError(t, err)
		require.Len(t, list.IDs, 2)
		_, err = serving.Users(b.ctx, active, []string{"103"})
		require.NoError(t, err)
		_, err = serving.Encoder(b.ctx, active)
		require.NoError(t, err)
	}
	_, err := serving.Versions(b.ctx)
	require.NoError(t, err)
	seen := []vectorstore.Activity{{User: "103", EventID: "1", HappenedAt: time.Now(), Items: []vectorstore.Seen{{Item: "b"}}}}
	require.NoError(t, serving.RecordActivity(b.ctx, seen))
	require.NoError(t, serving.RecordActivity(b.ctx, seen))

	conn, err := pgx.Connect(b.ctx, url)
	require.NoError(t, err)
	defer conn.Close(b.ctx)
	for _, statement := range []string{
		"select count(*) from millrace.item_emb", "select count(*) from millrace.user_emb",
	} {
		_, err := conn.Exec(b.ctx, statement)
		require.NoError(t, err, statement)
	}
	for _, statement := range []string{
		"drop table millrace.item_v2", "update millrace.item_v2 set bias = 0", "delete from millrace.item_v2", "truncate millrace.item_v2",
		"insert into millrace.item_v2 select * from millrace.item_v1", "alter table millrace.item_v2 add x int", "create index on millrace.item_v2 (name)",
		"update millrace.user_v2 set cold = true", "update millrace.active_model set n = 1", "delete from millrace.model_version",
		"insert into millrace.activation (version, reason) values ('x', 'x')", "delete from millrace.schema_migration",
		"drop table millrace.user_activity", "truncate millrace.user_activity", "create table millrace.mine (x int)", "drop schema millrace cascade",
	} {
		_, err := conn.Exec(b.ctx, statement)
		require.ErrorContains(t, err, "SQLSTATE 42501", statement)
	}
	_, err = serving.Load(b.ctx, model("3"))
	require.ErrorIs(t, err, vectorstore.ErrPrivilege)
	require.ErrorContains(t, err, "who loads models owns the schema")
}

func TestAUserWithoutTheRoleIsToldWhichOneItNeeds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.load(t, "1")
	_, err := open(t, login(t, b.url, "")).Active(b.ctx)
	require.ErrorIs(t, err, vectorstore.ErrPrivilege)
	require.ErrorContains(t, err, "GRANT millrace_recommender TO")
}

func TestTheLoaderNeedsNoSuperuser(t *testing.T) {
	t.Parallel()
	database := postgrestest.Database(t)
	postgrestest.Exec(t, database, "create extension vector")
	owner := login(t, database, "")
	at, err := url.Parse(owner)
	require.NoError(t, err)
	postgrestest.Exec(t, database, "grant create on database "+strings.TrimPrefix(at.Path, "/")+" to "+at.User.Username())
	b := bundle{ctx: t.Context(), url: database, store: open(t, owner)}
	require.NoError(t, b.store.Migrate(b.ctx))
	out, err := b.store.Load(b.ctx, model("1"))
	require.NoError(t, err)
	require.True(t, out.Activated)
	require.Contains(t, out.Prewarmed, "by reading", "it may not install pg_prewarm")
	b.load(t, "2")
	b.load(t, "3")
	require.Len(t, b.tables(t), 4)
	_, _, err = b.store.Rollback(b.ctx, "me", "it was better")
	require.NoError(t, err)
}

func TestRightsThatWereTakenAwayComeBackWithTheNextMigration(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.load(t, "1")
	postgrestest.Exec(t, b.url, `revoke all on all tables in schema millrace from millrace_recommender; revoke all on schema millrace from millrace_recommender;
		alter default privileges in schema millrace revoke all on tables from millrace_recommender`)
	serving := open(t, login(t, b.url, "in role millrace_recommender"))
	_, err := serving.Active(b.ctx)
	require.ErrorIs(t, err, vectorstore.ErrPrivilege)
	require.NoError(t, b.store.Migrate(b.ctx))
	b.load(t, "2")
	active, err := serving.Active(b.ctx)
	require.NoError(t, err)
	_, err = serving.Items(b.ctx, active, "", "")
	require.NoError(t, err)
}
