-- Times are seconds since the epoch, as floats: what the clock says is stored exactly.
-- No constraints on the jobs' values, which would cost more than all the rest: a row that
-- another program wrote is set aside as failed when it is met, and never stops those behind it.

-- How often numbers were drawn: each arrival of a job, and each end of one, takes the next.
CREATE TABLE taskq_numbers (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;

INSERT INTO taskq_numbers (name, value) VALUES ('arrivals', 0);

-- What changes while a job lives. Its body is apart, so that a large one is written once.
CREATE TABLE taskq_jobs (
    num INTEGER PRIMARY KEY,        -- the number of its enqueue
    id TEXT NOT NULL UNIQUE,
    task TEXT,
    queue TEXT,
    lane TEXT,
    priority INTEGER,
    state TEXT,
    seq INTEGER,                    -- the number of its arrival; of its end, once it has ended
    attempts INTEGER DEFAULT 0,
    claims INTEGER DEFAULT 0,       -- never lowered; (lease, claims) is the fencing token
    deaths INTEGER DEFAULT 0,
    cancel INTEGER DEFAULT 0,       -- 1: asked to stop
    enqueued REAL,
    due REAL,
    expires REAL,
    deadline REAL,
    started REAL,                   -- the last claim
    ended REAL,
    gone REAL,                      -- when an ended job's record goes
    keep REAL,
    keep_failed REAL,
    unique_key TEXT,
    locked INTEGER DEFAULT 0,       -- 1: it holds its unique key
    lock_until REAL,
    lock_ttl REAL,
    until_start INTEGER DEFAULT 0,
    lease TEXT,                     -- that holds it, or held it last
    call INTEGER,                   -- the number of the call that claimed it
    ran INTEGER DEFAULT 0,          -- its lost worker had started it
    result BLOB,
    progress BLOB,
    checkpoint BLOB
);

CREATE TABLE taskq_bodies (
    num INTEGER PRIMARY KEY,
    payload BLOB
);

-- Errors and log lines.
CREATE TABLE taskq_lines (
    num INTEGER NOT NULL,
    kind TEXT NOT NULL,
    place INTEGER NOT NULL,
    line BLOB,
    PRIMARY KEY (num, kind, place)
) WITHOUT ROWID;

-- claim, and the statistics of ready jobs
CREATE INDEX taskq_jobs_ready ON taskq_jobs (queue, lane, priority DESC, seq, due)
    WHERE state = 'ready';
-- promote
CREATE INDEX taskq_jobs_due ON taskq_jobs (due)
    WHERE state IN ('scheduled', 'retrying');
-- reclaim, renew
CREATE INDEX taskq_jobs_held ON taskq_jobs (lease)
    WHERE state = 'running';
-- browse and count what has not ended
CREATE INDEX taskq_jobs_live ON taskq_jobs (state, queue)
    WHERE ended IS NULL;
-- browse, count and prune what has
CREATE INDEX taskq_jobs_ended ON taskq_jobs (state, seq, queue)
    WHERE ended IS NOT NULL;
CREATE INDEX taskq_jobs_gone ON taskq_jobs (gone)
    WHERE gone IS NOT NULL;
-- at most one job holds a key
CREATE UNIQUE INDEX taskq_jobs_lock ON taskq_jobs (unique_key)
    WHERE locked = 1;
CREATE TABLE taskq_queues (
    name TEXT PRIMARY KEY,
    paused INTEGER NOT NULL DEFAULT 0,
    used INTEGER NOT NULL DEFAULT 0 -- 1: it had a job once
) WITHOUT ROWID;

CREATE TABLE taskq_leases (
    id TEXT PRIMARY KEY,
    ttl REAL NOT NULL,
    until REAL NOT NULL,
    ended INTEGER NOT NULL DEFAULT 0,
    call INTEGER NOT NULL DEFAULT -1,   -- the last number that found jobs
    seen REAL NOT NULL,
    worker TEXT NOT NULL,               -- JSON
    running TEXT NOT NULL DEFAULT '[]'  -- JSON: the ids its last renewal named
) WITHOUT ROWID;

CREATE TABLE taskq_locks (
    key TEXT NOT NULL,
    owner TEXT NOT NULL,
    until REAL NOT NULL,
    PRIMARY KEY (key, owner)
) WITHOUT ROWID;

CREATE TABLE taskq_tallies (
    key TEXT PRIMARY KEY,
    value INTEGER NOT NULL,
    until REAL NOT NULL
) WITHOUT ROWID;
