//! `orion db`: the admin API from the command line.

use std::io::Write;

use orion_api::admin::{
    ChangeDatabase, ChangeMembers, CreateDatabase, Database, Group, Limits, LimitsChange, Metrics, NodeList,
    Role,
};
use orion_api::client::Client;
use orion_api::{DatabaseName, GroupName, NodeId};

use super::output::{Format, Rows, size};
use super::remote::{self, Remote};

/// Options of `orion db`.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    #[command(subcommand)]
    command: Command,
    /// The server [env: ORION_URL, LIBSQL_URL] [default: http://127.0.0.1:8091].
    #[arg(long, global = true)]
    url: Option<String>,
    #[command(flatten)]
    remote: Remote,
    /// Format of the result.
    #[arg(long, short, global = true, value_enum, default_value_t)]
    output: Format,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List databases.
    List {
        /// Also those that are dropped and not yet purged.
        #[arg(long)]
        include_deleted: bool,
    },
    /// Create a database, or show it if it is there.
    Create {
        /// a-z, 0-9, '-', '_' and '.'.
        name: DatabaseName,
        /// Makes a retry safe also after the database was dropped.
        #[arg(long)]
        idempotency_key: Option<String>,
        /// The group to own it.
        #[arg(long)]
        group: Option<GroupName>,
        #[command(flatten)]
        limits: LimitOptions,
    },
    /// Show a database.
    Get {
        /// Its name.
        name: DatabaseName,
    },
    /// Read all pages of a database on the node that is asked, and show their checksum: equal on all members.
    Checksum {
        /// Its name.
        name: DatabaseName,
    },
    /// Change a database's limits, at once.
    SetLimits {
        /// Its name.
        name: DatabaseName,
        #[command(flatten)]
        limits: LimitOptions,
        /// Limits that become the node's defaults again.
        #[arg(long, value_delimiter = ',', value_name = "LIMIT")]
        reset: Vec<LimitName>,
    },
    /// Drop a database. Its data is purged after the server's retention.
    Drop {
        /// Its name.
        name: DatabaseName,
    },
    /// Show replication groups.
    #[command(subcommand)]
    Groups(GroupCommand),
    /// Show nodes.
    Nodes,
    /// Show the node's numbers.
    Metrics,
}

#[derive(Debug, clap::Subcommand)]
enum GroupCommand {
    /// List groups with a member on the node.
    List,
    /// Show a group.
    Get {
        /// Its name.
        name: GroupName,
    },
    /// Show a group's members.
    Members {
        /// The group.
        name: GroupName,
    },
    /// Change what members are, all at once: who votes, who only learns.
    SetMembers {
        /// The group.
        name: GroupName,
        /// `<node id>=voter`, `=learner` or `=read_replica`.
        #[arg(required = true, value_parser = member_role)]
        roles: Vec<(NodeId, Role)>,
    },
    /// Remove a member, for good: its id never comes back.
    RemoveMember {
        /// The group.
        name: GroupName,
        /// The member.
        node: NodeId,
    },
    /// Let another member lead.
    SetLeader {
        /// The group.
        name: GroupName,
        /// Who is to lead; it must vote, and have caught up.
        node: NodeId,
    },
    /// Let a group write newer formats: an older release cannot be started again afterwards.
    SetFormatLevel {
        /// The group.
        name: GroupName,
        /// The level; all members must read it.
        level: u32,
    },
}

fn member_role(text: &str) -> Result<(NodeId, Role), String> {
    let (node, role) = text.split_once('=').ok_or("write <node id>=<role>")?;
    let node = node
        .parse()
        .map_err(|error: orion_api::InvalidNodeId| error.to_string())?;
    let role = match role {
        "voter" => Role::Voter,
        "learner" => Role::Learner,
        "read_replica" => Role::ReadReplica,
        other => return Err(format!("{other:?} is none of voter, learner, read_replica")),
    };
    Ok((node, role))
}

/// A limit, as its option is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum LimitName {
    SizeBytes,
    TransactionBytes,
    StatementTimeMs,
    ResultBytes,
    Streams,
}

#[derive(Debug, clap::Args)]
struct LimitOptions {
    /// Largest size.
    #[arg(long)]
    size_bytes: Option<u64>,
    /// Changed pages of one transaction.
    #[arg(long)]
    transaction_bytes: Option<u64>,
    /// Time of one statement.
    #[arg(long)]
    statement_time_ms: Option<u64>,
    /// Result of one request.
    #[arg(long)]
    result_bytes: Option<u64>,
    /// Open streams.
    #[arg(long)]
    streams: Option<u64>,
}

impl LimitOptions {
    fn change(&self, reset: &[LimitName]) -> LimitsChange {
        let of = |wish: Option<u64>, name| match wish {
            Some(value) => Some(Some(value)),
            None => reset.contains(&name).then_some(None),
        };
        LimitsChange {
            size_bytes: of(self.size_bytes, LimitName::SizeBytes),
            transaction_bytes: of(self.transaction_bytes, LimitName::TransactionBytes),
            statement_time_ms: of(self.statement_time_ms, LimitName::StatementTimeMs),
            result_bytes: of(self.result_bytes, LimitName::ResultBytes),
            streams: of(self.streams, LimitName::Streams),
        }
    }
}

impl From<&LimitOptions> for Limits {
    fn from(options: &LimitOptions) -> Limits {
        Limits {
            size_bytes: options.size_bytes,
            transaction_bytes: options.transaction_bytes,
            statement_time_ms: options.statement_time_ms,
            result_bytes: options.result_bytes,
            streams: options.streams,
        }
    }
}

/// Runs one command.
pub(super) fn run(options: &Options, out: &mut impl Write) -> anyhow::Result<()> {
    let client = options.remote.client(options.url.as_deref())?;
    remote::runtime()?.block_on(ask(&client, &options.command, options.output, out))
}

async fn ask(client: &Client, command: &Command, format: Format, out: &mut impl Write) -> anyhow::Result<()> {
    match command {
        Command::List { include_deleted } => {
            let all = client.all_databases(*include_deleted).await?;
            format.print(&all, |all| databases(all), out)
        }
        Command::Create {
            name,
            idempotency_key,
            group,
            limits,
        } => {
            let wish = CreateDatabase {
                name: name.clone(),
                idempotency_key: idempotency_key.clone(),
                limits: limits.into(),
                group: group.clone(),
            };
            format.print(&client.create_database(&wish).await?, fields, out)
        }
        Command::Get { name } => format.print(&client.get_database(name).await?, fields, out),
        Command::Checksum { name } => format.print(&client.checksum(name).await?, fields, out),
        Command::SetLimits { name, limits, reset } => {
            let change = ChangeDatabase {
                limits: limits.change(reset),
            };
            format.print(&client.change_database(name, &change).await?, fields, out)
        }
        Command::Drop { name } => format.print(&client.drop_database(name).await?, fields, out),
        Command::Groups(GroupCommand::List) => {
            let all = client.list_groups().await?.groups;
            format.print(&all, |all| groups(all), out)
        }
        Command::Groups(GroupCommand::Get { name }) => {
            let group = client.get_group(name).await?;
            format.print(&group, |group| groups(std::slice::from_ref(group)), out)
        }
        Command::Groups(GroupCommand::Members { name }) => {
            format.print(&client.get_group(name).await?, members, out)
        }
        Command::Groups(GroupCommand::SetMembers { name, roles }) => {
            let change = ChangeMembers {
                roles: roles.iter().copied().collect(),
            };
            format.print(&client.change_members(name, &change).await?, members, out)
        }
        Command::Groups(GroupCommand::RemoveMember { name, node }) => {
            format.print(&client.remove_member(name, *node).await?, members, out)
        }
        Command::Groups(GroupCommand::SetLeader { name, node }) => {
            format.print(&client.change_leader(name, *node).await?, members, out)
        }
        Command::Groups(GroupCommand::SetFormatLevel { name, level }) => {
            format.print(&client.change_format_level(name, *level).await?, members, out)
        }
        Command::Nodes => format.print(&client.list_nodes().await?, nodes, out),
        Command::Metrics => format.print(&client.metrics().await?, metrics, out),
    }
}

/// A line for each database.
pub(super) fn databases(all: &[Database]) -> Rows {
    let mut rows = Rows::new(&["NAME", "STATE", "GROUP", "VERSION", "SIZE", "ID"]);
    for database in all {
        rows.add(vec![
            database.name.to_string(),
            database.state.as_str().to_owned(),
            database.group.to_string(),
            format!("{}.{}", database.epoch, database.version),
            size(database.size_bytes),
            database.id.to_string(),
        ]);
    }
    rows
}

/// A line for each field: one object has room.
fn fields(object: &impl serde::Serialize) -> Rows {
    let mut rows = Rows::new(&["FIELD", "VALUE"]);
    flatten(
        String::new(),
        &serde_json::to_value(object).unwrap_or_default(),
        &mut rows,
    );
    rows
}

/// A line for each group.
pub(super) fn groups(all: &[Group]) -> Rows {
    let mut rows = Rows::new(&[
        "GROUP",
        "STATE",
        "TERM",
        "LEADER",
        "MEMBERS",
        "APPLIED",
        "COMMITTED",
        "DATABASES",
    ]);
    for group in all {
        rows.add(vec![
            group.name.to_string(),
            format!("{:?}", group.state).to_lowercase(),
            group.term.to_string(),
            group
                .leader
                .map_or_else(|| "-".into(), |leader| leader.to_string()),
            group.members.len().to_string(),
            group.applied_index.to_string(),
            group.committed_index.to_string(),
            group.databases.to_string(),
        ]);
    }
    rows
}

/// A line for each member.
fn members(group: &Group) -> Rows {
    let mut rows = Rows::new(&["NODE", "ROLE", "VOTES", "LEADS", "LACKS", "FORMAT", "ADDRESS"]);
    let yes = |flag: bool| if flag { "yes" } else { "-" }.to_owned();
    for member in &group.members {
        let role = serde_json::to_value(member.role).unwrap_or_default();
        rows.add(vec![
            member.node.to_string(),
            role.as_str().unwrap_or_default().to_owned(),
            yes(member.votes),
            yes(group.leader == Some(member.node)),
            member.matched_index.map_or_else(
                || "-".into(),
                |matched| group.last_log_index.0.saturating_sub(matched.0).to_string(),
            ),
            member.format_level.to_string(),
            member.address.clone().unwrap_or_else(|| "-".into()),
        ]);
    }
    rows
}

/// A line for each node.
pub(super) fn nodes(list: &NodeList) -> Rows {
    let mut rows = Rows::new(&["NODE", "VERSION", "URL", "GROUPS"]);
    for node in &list.nodes {
        let groups: Vec<&str> = node.groups.iter().map(GroupName::as_str).collect();
        rows.add(vec![
            node.id.to_string(),
            node.version.clone(),
            node.url.clone(),
            groups.join(","),
        ]);
    }
    rows
}

/// A line for each number, named as in JSON.
pub(super) fn metrics(metrics: &Metrics) -> Rows {
    let mut rows = Rows::new(&["METRIC", "VALUE"]);
    let tree = serde_json::to_value(metrics).unwrap_or_default();
    flatten(String::new(), &tree, &mut rows);
    rows
}

fn flatten(path: String, value: &serde_json::Value, rows: &mut Rows) {
    let below = |key: &str| {
        if path.is_empty() {
            key.to_owned()
        } else {
            format!("{path}.{key}")
        }
    };
    match value {
        serde_json::Value::Object(fields) => {
            for (key, value) in fields {
                flatten(below(key), value, rows);
            }
        }
        serde_json::Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                flatten(below(&index.to_string()), value, rows);
            }
        }
        serde_json::Value::String(text) => rows.add(vec![path, text.clone()]),
        other => rows.add(vec![path, other.to_string()]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use orion_api::admin::DatabaseState;
    use orion_api::{Epoch, Version};

    fn sample() -> Database {
        Database {
            id: "67e55044-10b1-426f-9247-bb680e5fe0c8".parse().expect("an id"),
            name: "appdb".parse().expect("a name"),
            state: DatabaseState::Active,
            group: "default".parse().expect("a name"),
            epoch: Epoch(1),
            version: Version(7),
            size_bytes: 8192,
            created_at_ms: 5,
            deleted_at_ms: None,
            limits: Limits::default(),
            endpoint: Some("http://h/appdb/".into()),
        }
    }

    fn printed(format: Format) -> String {
        let mut out = Vec::new();
        format
            .print(&vec![sample()], |all| databases(all), &mut out)
            .expect("memory");
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn lists_are_tables_json_or_yaml() {
        assert_eq!(
            printed(Format::Table),
            "NAME   STATE   GROUP    VERSION  SIZE     ID\n\
             appdb  active  default  1.7      8.0 KiB  67e55044-10b1-426f-9247-bb680e5fe0c8\n"
        );
        let json: Vec<Database> = serde_json::from_str(&printed(Format::Json)).expect("JSON");
        let yaml: Vec<Database> = serde_saphyr::from_str(&printed(Format::Yaml)).expect("YAML");
        assert_eq!((json, yaml), (vec![sample()], vec![sample()]));
    }

    #[test]
    fn one_database_shows_every_field() {
        let mut out = Vec::new();
        fields(&sample()).print(&mut out).expect("memory");
        let text = String::from_utf8(out).expect("UTF-8");
        for part in ["size_bytes", "8192", "http://h/appdb/", "epoch"] {
            assert!(text.contains(part), "{text}");
        }
    }
}
