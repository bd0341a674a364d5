//! The YAML that `orion init-config` prints: every key with its default and what it means.

use super::defaults;
use crate::store;

/// A commented configuration that says what the defaults are.
pub fn template() -> String {
    let limits = defaults::limits();
    let http = defaults::http();
    let transactions = defaults::transactions();
    let materialize = defaults::materialize();
    let archive = crate::archive::Options::default();
    let retry = store::Retry::default();
    format!(
        r#"# Configuration of `orion server`. Every key is optional; the values here are the defaults.
# Unknown keys are refused.

# Log, snapshots and temporary files of this process alone. One process a directory.
data_dir: {data_dir}

# Address of SQL, admin API, /metrics, /livez and /readyz.
listen: {listen}

# What clients are told to connect to, if not the address above.
# public_url: http://orion.example.com

# Database of requests that name none; made at the start. "" for none.
default_database: {database}

# The group that this node makes at its first start, or joins.
group: {group}
# Others, each with a log and a leader of its own: `orion db create <name> --group <group>` makes databases there.
more_groups: []

# The data's lasting home: file://, s3://bucket/prefix, gs://bucket/prefix, az://container/prefix
# or memory:// (everything is lost at the end).
object_store:
  # url: file:///var/lib/orion/objects   # without it: `objects` in the data directory
  # endpoint: http://127.0.0.1:9000      # another server than the provider's own
  # region: eu-central-1
  path_style: false                      # S3: the bucket in the path, as most other servers want it
  allow_http: false                      # speak without TLS to an http:// endpoint
  # ca_bundle: /etc/orion/ca.pem         # more certificates to trust
  # credentials_dir: /var/run/secrets/s3 # files named like AWS_ACCESS_KEY_ID; without it: the environment
  attempts: {attempts}                            # after the first
  attempt_timeout_ms: {attempt_ms}
  total_timeout_ms: {total_ms}

# Pages kept in memory, of all databases.
page_cache_bytes: {page_cache}

# Of a database that was created without limits of its own.
limits:
  size_bytes: {size}
  transaction_bytes: {transaction}           # changed pages of one transaction
  statement_time_ms: {statement_ms}
  result_bytes: {result}
  streams: {streams}                           # with an open transaction, temporary tables or the like
  # Of the whole node:
  streams_total: {streams_total}
  body_bytes_total: {bodies}            # requests that arrive or run; past it larger ones wait, then ORION_OVERLOADED
  reply_bytes_total: {replies}           # results that are made, or not yet read by their clients; likewise
  # connections_max: {connections}               # without it: {connections}, or as many as `ulimit -Hn` has room for

# What clients may take their time for. Past it a connection is closed.
http:
  idle_timeout_ms: {http_idle_ms}                # without a request
  head_timeout_ms: {head_ms}                 # from the first byte of a request's head to the last
  stall_timeout_ms: {stall_ms}                # without a byte, while a body is sent or a reply is read
  bytes_per_second_min: {rate}           # and so fast on the whole

transactions:
  idle_timeout_ms: {idle_ms}                  # an open transaction waits so long for its next request
  total_timeout_ms: {open_ms}
  commit_deadline_ms: {commit_ms}               # past it a write is answered with ORION_COMMIT_UNKNOWN

# When committed pages go to the object store. Each time costs requests; what has not gone is in the log.
materialize:
  flush_bytes: {flush}                   # of one database, at which it is due
  age_seconds: {age}                       # of its oldest commit, at which it is due
  database_overlay_bytes: {overlay}       # at which its writes wait
  node_overlay_bytes: {node_overlay}          # of all, at which writes wait; from 3/4 on the largest are due
  snapshot_log_bytes: {snapshot}           # of log, after which there is a local snapshot
  dropped_retention_seconds: {retention}      # a dropped database's objects are purged after that

# The log in the object store: with it `orion recover` brings a group back that lost all disks.
archive:
  enabled: true
  interval_ms: {archive_ms}                      # about what is lost then
  log_bytes_max: {archive_log}              # of log, kept while the object store is away; past it the archive has a gap
  retention_hours: {archive_hours}

# Who may do what. Without keys and tokens everybody may do everything. Keys and tokens are read again every few seconds.
auth:
  public_keys: []                        # PEM or base64, as `orion token keys` makes them
  public_key_files: []                   # paths of such files
  metrics_public: true                   # /metrics asks for no token; false: for an admin's
  tokens: []                             # - {{token: …, access: ro or rw, admin: true or false}}

# One of several nodes that replicate a group. Without `listen` the node is alone in its group. All nodes of a group have the
# same object store, and the same `group`; they may start in any order.
cluster:
  # listen: 0.0.0.0:8092                 # for the other nodes: no one else needs to reach it
  # advertise: node1.example.com:8092    # where they reach this node; without it: the address above
  # peers: [node2.example.com:8092, node3.example.com:8092]
  role: voter                            # voter, or read_replica: it does not vote, and serves reads
  # tls:                                 # certificates for `orion-peer`, of one authority
  #   authority: /etc/orion/peers/ca.pem
  #   certificate: /etc/orion/peers/node.pem
  #   key: /etc/orion/peers/node-key.pem
  # insecure: true                       # without certificates: whoever reaches `listen` is taken for a node of the group

# A new release writes formats that an older one cannot read only when all nodes of the group run it; with `manual` only after
# `orion db groups set-format-level` too: until then the older release can be started again.
upgrade:
  finalize: automatic                    # or manual

# On standard error. `filter` as of RUST_LOG, `format` text or json.
log:
  filter: {filter}
  format: text
"#,
        data_dir = defaults::DATA_DIR,
        listen = defaults::LISTEN,
        database = defaults::DATABASE,
        group = defaults::GROUP,
        attempts = retry.attempts,
        attempt_ms = retry.attempt.as_millis(),
        total_ms = retry.total.as_millis(),
        page_cache = defaults::node().page_cache_bytes,
        size = limits.size_bytes,
        transaction = limits.transaction_bytes,
        statement_ms = limits.statement_time.as_millis(),
        result = limits.result_bytes,
        streams = limits.streams,
        connections = crate::http::connections::Limits::default().most,
        streams_total = http.streams_total,
        replies = http.reply_bytes_total,
        bodies = http.body_bytes_total,
        http_idle_ms = http.idle.as_millis(),
        head_ms = http.head.as_millis(),
        stall_ms = http.pace.stall.as_millis(),
        rate = http.pace.bytes_per_second,
        idle_ms = transactions.idle.as_millis(),
        open_ms = transactions.total.as_millis(),
        commit_ms = transactions.commit_deadline.as_millis(),
        snapshot = materialize.snapshot_log_bytes,
        flush = materialize.flush_bytes,
        overlay = materialize.database_overlay_bytes,
        node_overlay = materialize.node_overlay_bytes,
        age = materialize.age.as_secs(),
        retention = materialize.dropped_retention.as_secs(),
        archive_ms = archive.interval.as_millis(),
        archive_log = archive.log_bytes_max,
        archive_hours = archive.retention.as_secs() / 3600,
        filter = defaults::LOG_FILTER,
    )
}
