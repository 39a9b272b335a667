-- Who serves reads the models and writes what users do, nothing else. A group without login: whoever logs in to serve is made its
-- member by the operator (GRANT millrace_recommender TO …). Roles belong to the server, so another database may have made it already; where
-- the owner of this schema may not make roles, an administrator does it later, and the next load gives it its rights (roles.go).
do $$ begin
    create role millrace_recommender nologin;
exception
    when duplicate_object or unique_violation or insufficient_privilege then null;
end $$;
