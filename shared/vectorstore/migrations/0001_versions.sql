-- Every model that was ever offered, and what became of it.
create table millrace.model_version (
    n               bigint generated always as identity primary key, -- names the tables item_v<n> and user_v<n>
    version         text not null unique,
    dataset         text not null,
    run             text not null, -- the batch it was trained in; runs order as text
    manifest_key    text not null,
    artifact_sha256 text not null, -- of the manifest, which lists the SHA-256 of every file
    dimension       int not null,
    distance        text not null,
    items           bigint not null,
    users           bigint not null,
    metrics         json,
    encoder         json, -- encoder.json as published: what a fold-in needs beside the embeddings
    state           text not null check (state in ('loading', 'ready', 'active', 'retired', 'rejected')),
    reason          text not null default '',
    created_at      timestamptz not null default now(),
    activated_at    timestamptz
);

-- The one pointer that readers follow. The previous version keeps its tables, for rollback.
create table millrace.active_model (
    one        boolean primary key default true check (one),
    n          bigint not null references millrace.model_version (n),
    previous   bigint references millrace.model_version (n),
    changed_at timestamptz not null default now()
);

-- What users looked at: one row for each event, so a second delivery changes nothing and order does not matter.
create table millrace.user_activity (
    user_id     text not null,
    event_id    text not null,
    session_id  text not null,
    happened_at timestamptz not null, -- as the event says, or its arrival in the stream
    items       jsonb not null,       -- [{"item", "quantity", "in_cart"}], oldest first
    primary key (user_id, event_id)
);
create index user_activity_latest on millrace.user_activity (user_id, happened_at desc, event_id desc);
