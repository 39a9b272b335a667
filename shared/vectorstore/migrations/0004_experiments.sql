-- Two versions that serve at the same time. They are named, not referred to: a version that is promoted again gets new tables.
create table millrace.experiment (
    n          bigint generated always as identity primary key, -- hashed with the user's id
    control    text not null,
    treatment  text not null check (treatment <> control),
    weight     double precision not null check (weight between 0 and 1), -- the share of users that get the treatment
    started_at timestamptz not null default now(),
    stopped_at timestamptz,
    ended      text not null default '' -- why
);
create unique index experiment_running on millrace.experiment ((true)) where stopped_at is null;

-- Every weight that an experiment has had, and who chose it.
create table millrace.experiment_weight (
    experiment bigint not null references millrace.experiment (n),
    at         timestamptz not null default clock_timestamp(),
    weight     double precision not null,
    by         text not null,
    primary key (experiment, at)
);
