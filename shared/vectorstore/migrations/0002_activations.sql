-- Every move of the pointer, and who decided it: model_version only says what a version is now.
create table millrace.activation (
    n        bigint generated always as identity primary key,
    at       timestamptz not null default now(),
    version  text not null,
    replaced text,
    by       text not null default '', -- an operator, else empty
    reason   text not null
);
