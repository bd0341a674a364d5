//! `orion recover`: looks at what the object store has of a group, and, told that the group is lost, makes a new
//! incarnation of it that servers with empty data directories begin.
//!
//! Nothing here can know for certain that nobody of the old group is left: a machine that was cut off looks like one that is
//! gone. It asks the addresses that are known, and then a person must say it. What is left of the old group finds out by
//! itself ([`crate::archive`]); what it acknowledged since, only its disks have.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use orion_api::client::Client;
use orion_api::{DatabaseName, GroupName, NodeId};
use serde::Serialize;

use super::output::{Format, Rows, size};
use crate::archive::{End, Recovery, Replayed};
use crate::base::Bases;
use crate::clock::now_ms;
use crate::config::{Config, Overrides};
use crate::entry::FORMAT_LEVEL;
use crate::group::Database;
use crate::overlay::{PageCache, Pages};
use crate::owner::{Chains, Incarnation};
use crate::peer::wire::KnownGroup;
use crate::peer::{self, Peers};
use crate::store::Store;
use crate::{base, overlay};

/// How long an address may take to answer.
const CONNECT: Duration = Duration::from_secs(1);

/// Pages in memory while bases are written.
const CACHE_BYTES: u64 = 64 << 20;

/// How long a page may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Options of `orion recover`.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Configuration of the servers: group and object store are taken from it.
    #[arg(long, short, env = "ORION_CONFIG")]
    config: Option<PathBuf>,
    /// Data directory; instead of the file's.
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// Another group of the configuration than its `group`.
    #[arg(long)]
    group: Option<GroupName>,
    /// Recover: every disk of the group is lost, or is never used again. Without this nothing is changed.
    #[arg(long)]
    group_is_lost: bool,
    /// Also where somebody answers at the address of an old member, or this data directory has a log.
    #[arg(long, requires = "group_is_lost")]
    force: bool,
    /// Drop this database (repeat it for others) if the object store does not have its pages any more. One that is not named
    /// stops the recovery.
    #[arg(long, value_name = "DATABASE", requires = "group_is_lost")]
    drop_lost: Vec<DatabaseName>,
    /// Also read every page of every database, and show checksums as `orion db checksum` does.
    #[arg(long)]
    checksums: bool,
    /// Format of the result.
    #[arg(long, short, value_enum, default_value_t)]
    output: Format,
}

/// What was found, or done.
#[derive(Debug, Serialize)]
struct Report {
    group: String,
    /// The incarnation whose archive this is; none where an earlier attempt had done everything.
    from_incarnation: Option<u64>,
    /// The incarnation that servers can begin; none where nothing was changed.
    incarnation: Option<u64>,
    /// Everything that was acknowledged before is there: ms since 1970.
    complete_until_ms: Option<u64>,
    /// From then until now: what was acknowledged in between may be lost.
    loss_window_ms: Option<u64>,
    /// The log index of the snapshot that it begins with; none: the archive goes back to the group's beginning.
    snapshot_index: Option<u64>,
    /// The last log index that is there.
    last_index: Option<u64>,
    /// Why there is nothing behind it.
    ends: Option<String>,
    databases: Vec<Recovered>,
    /// Names of databases whose pages are lost: they are not among the others.
    lost: Vec<String>,
}

/// A database, as it is recovered.
#[derive(Debug, Serialize)]
struct Recovered {
    name: String,
    id: String,
    epoch: u64,
    version: u64,
    size_bytes: u64,
    /// Its last commit that is there was acknowledged before: ms since 1970. None: it is older than the newest snapshot.
    committed_before_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    checksum: Option<String>,
}

/// Looks, and recovers if told to.
pub(super) fn run(options: Options, out: &mut impl Write) -> anyhow::Result<()> {
    #[cfg(feature = "failpoints")]
    crate::failpoints::arm()?;
    let overrides = Overrides {
        data_dir: options.data_dir.clone(),
        listen: None,
    };
    let mut config = Config::load(options.config.as_deref(), overrides)?;
    if let Some(group) = &options.group {
        let is_configured = config.group == *group || config.more_groups.contains(group);
        anyhow::ensure!(is_configured, "the configuration has no group {group}");
        config.group = group.clone();
    }
    super::server::init_log(&config.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let report = runtime.block_on(recover(&config, &options))?;
    options.output.print(&report, rows, out)?;
    if report.incarnation.is_none() {
        let mut notes = std::io::stderr();
        writeln!(
            notes,
            "Nothing was changed. If every disk of the group is lost, or is never used again: the same with --group-is-lost."
        )?;
    }
    Ok(())
}

async fn recover(config: &Config, options: &Options) -> anyhow::Result<Report> {
    let dir = tempfile::tempdir()?;
    let store = Store::open(&config.object_store)?;
    let bases = Arc::new(Bases::new(store.clone(), base::Options::default()));
    let handle = tokio::runtime::Handle::current();
    let pages = Pages::new(PageCache::new(CACHE_BYTES), bases, handle, PATIENCE);
    let recovery = Recovery {
        chains: Chains::new(store.clone()),
        store,
        pages: Arc::new(pages),
        group: config.group.clone(),
        dir: dir.path().to_owned(),
        may_drop: options.drop_lost.iter().cloned().collect(),
    };
    let newest = recovery.life().await?.incarnation();
    if !options.group_is_lost {
        let replayed = recovery.look(newest).await?;
        let lost = recovery.lost(&replayed).await?;
        let mut databases = replayed.state.databases();
        databases.retain(|database| lost.iter().all(|lost| lost.database != database.id));
        let mut report = report(&recovery, Some(&replayed), &databases, Some(newest.0), options).await?;
        report.lost = lost.into_iter().map(|lost| lost.name.to_string()).collect();
        return Ok(report);
    }
    if !options.force {
        must_be_gone(config, &recovery.look(newest).await?, newest).await?;
    }
    let outcome = recovery.run().await?;
    let new = outcome.recovered.incarnation.0;
    let old = outcome.replayed.as_ref().map(|_| new - 1);
    let replayed = outcome.replayed.as_ref();
    let mut report = report(&recovery, replayed, &outcome.databases, old, options).await?;
    report.incarnation = Some(new);
    Ok(report)
}

/// Whatever can be asked: the old members, a server with this configuration, and this data directory.
async fn must_be_gone(config: &Config, replayed: &Replayed, old: Incarnation) -> anyhow::Result<()> {
    let log = config.data_dir.join("log");
    let has_log = std::fs::read_dir(&log).is_ok_and(|mut files| files.next().is_some());
    anyhow::ensure!(
        !has_log,
        "{} has a log: start the server with it, or, if it is not of this group's newest life, use an empty data directory (--force recovers all the same; what only that disk has is lost then)",
        config.data_dir.display()
    );
    let url = config.client_url();
    let asked = Client::new(&url, None)?;
    let version = tokio::time::timeout(CONNECT, asked.text("/version")).await;
    anyhow::ensure!(
        !matches!(version, Ok(Ok(_))),
        "a server runs at {url}: stop it first (--force recovers all the same; what an old member acknowledges after that is lost)"
    );
    let mut addresses = replayed.state.addresses();
    let cluster = config.cluster.as_ref();
    addresses.extend(cluster.map(|cluster| cluster.seeds.clone()).unwrap_or_default());
    addresses.extend(cluster.map(|cluster| cluster.advertise.clone()));
    addresses.sort();
    addresses.dedup();
    // Nobody in particular, who only asks.
    let own = peer::own(NodeId(rand::random::<u64>() | 1), String::new(), FORMAT_LEVEL);
    let here = tokio::runtime::Handle::current();
    let threads = peer::Threads {
        raft: here.clone(),
        requests: here,
    };
    let tls = cluster.and_then(|cluster| cluster.tls.clone());
    let peers = Peers::new(own, None, PathBuf::new(), threads, tls)?;
    for address in addresses {
        let Ok(known) = peers.links.greet(&address).await else {
            continue;
        };
        let is_old = |group: &KnownGroup| {
            group.name == config.group.as_str() && group.incarnation == old.0 && !group.members.is_empty()
        };
        anyhow::ensure!(
            !known.groups.iter().any(is_old),
            "a member of the group answers at {address}: stop it first (--force recovers all the same; what an old member acknowledges after that is lost)"
        );
    }
    Ok(())
}

async fn report(
    recovery: &Recovery,
    replayed: Option<&Replayed>,
    databases: &[Arc<Database>],
    from: Option<u64>,
    options: &Options,
) -> anyhow::Result<Report> {
    let mut recovered = Vec::new();
    for database in databases.iter().filter(|database| database.is_active()) {
        let snapshot = database.published.load_full();
        let checksum = match options.checksums {
            true => Some(overlay::sum(&recovery.pages, &snapshot).await?),
            false => None,
        };
        recovered.push(Recovered {
            name: database.name.to_string(),
            id: database.id.to_string(),
            epoch: snapshot.epoch.0,
            version: snapshot.version.0,
            size_bytes: snapshot.extent.bytes(),
            committed_before_ms: replayed
                .and_then(|replayed| replayed.committed_ms.get(&database.id).copied())
                .filter(|at_ms| *at_ms > 0),
            checksum: checksum.map(|sum| format!("{:016x}", sum.0)),
        });
    }
    recovered.sort_by(|a, b| a.name.cmp(&b.name));
    let until = replayed.map(|replayed| replayed.complete_until_ms);
    Ok(Report {
        group: recovery.group.to_string(),
        from_incarnation: from,
        incarnation: None,
        complete_until_ms: until,
        loss_window_ms: until.map(|until| now_ms().saturating_sub(until)),
        snapshot_index: replayed.and_then(|replayed| Some(replayed.snapshot.as_ref()?.index)),
        last_index: replayed.and_then(|replayed| replayed.next.checked_sub(1)),
        ends: replayed.map(ends),
        databases: recovered,
        lost: Vec::new(),
    })
}

fn ends(replayed: &Replayed) -> String {
    match &replayed.end {
        End::Newest => "nothing was archived after it".into(),
        End::Seal(operation) => format!("it was sealed by recovery {operation}"),
        End::Gap { found } => format!(
            "GAP: entries {} to {} are missing, and what is behind them is lost",
            replayed.next,
            found - 1
        ),
        End::Damaged(what) => format!("DAMAGED: {what}; it and what is behind it are lost"),
    }
}

fn rows(report: &Report) -> Rows {
    let mut rows = Rows::new(&["", "", "", ""]);
    let line = |what: &str, value: String| vec![what.to_owned(), value, String::new(), String::new()];
    let number = |value: Option<u64>| value.map_or_else(|| "-".into(), |value| value.to_string());
    rows.add(line("group", report.group.clone()));
    rows.add(line("from incarnation", number(report.from_incarnation)));
    rows.add(line("new incarnation", number(report.incarnation)));
    rows.add(line("complete until", number(report.complete_until_ms)));
    rows.add(line("loss window, ms", number(report.loss_window_ms)));
    rows.add(line("snapshot", number(report.snapshot_index)));
    rows.add(line("last index", number(report.last_index)));
    rows.add(line("ends", report.ends.clone().unwrap_or_else(|| "-".into())));
    let head = ["DATABASE", "VERSION", "SIZE", "CHECKSUM"].map(str::to_owned);
    rows.add(head.to_vec());
    for database in &report.databases {
        rows.add(vec![
            database.name.clone(),
            format!("{}.{}", database.epoch, database.version),
            size(database.size_bytes),
            database.checksum.clone().unwrap_or_default(),
        ]);
    }
    for name in &report.lost {
        rows.add(line(
            name,
            "LOST: its pages are not in the object store any more".into(),
        ));
    }
    rows
}
