package vectorstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// ServingRole is the group that reads models and writes what users do (migrations/0003_roles.sql). The loader owns the schema.
const ServingRole = "millrace_recommender"

// writtenByServing are the tables that serving writes to; it reads all of them.
var writtenByServing = []string{"user_activity"}

// grantServing gives the serving role what it lacks. Without the role, owner and recommender are one user, and nothing is to be done.
func grantServing(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, `
		select 'grant usage on schema millrace to millrace_recommender' from pg_roles
		where rolname = $1 and not has_schema_privilege(rolname, 'millrace', 'usage')
		union all -- the tables of versions to come
		select 'alter default privileges in schema millrace grant select on tables to millrace_recommender' from pg_roles
		where rolname = $1 and not exists (select from pg_default_acl d, aclexplode(d.defaclacl) a
			where d.defaclnamespace = 'millrace'::regnamespace and a.grantee = pg_roles.oid and d.defaclrole = current_user::regrole)
		union all
		select format('grant select on millrace.%I to millrace_recommender', c.relname) from pg_class c, pg_roles r
		where r.rolname = $1 and c.relnamespace = 'millrace'::regnamespace and c.relkind in ('r', 'v') and not has_table_privilege(r.oid, c.oid, 'select')
		union all
		select format('grant insert, update, delete on millrace.%I to millrace_recommender', c.relname) from pg_class c, pg_roles r
		where r.rolname = $1 and c.relnamespace = 'millrace'::regnamespace and c.relname = any($2)
		  and not (has_table_privilege(r.oid, c.oid, 'insert') and has_table_privilege(r.oid, c.oid, 'update') and has_table_privilege(r.oid, c.oid, 'delete'))`,
		ServingRole, writtenByServing)
	if err != nil {
		return err
	}
	missing, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, statement := range missing {
		if _, err := tx.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}

// ErrPrivilege says that the database's user lacks a right.
var ErrPrivilege = errors.New("this user of the database may not do that: who loads models owns the schema millrace, who serves them is a member of " +
	ServingRole + " (GRANT " + ServingRole + " TO the user)")
