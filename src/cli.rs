//! The command line: what may be asked, and how to say it.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};

use crate::model::Time;

/// Which build agent did this, as whom, and how sure are we?
///
/// agentrail ingests Azure DevOps audit and job records, joins them with the agents and identities
/// of their time, keeps them in Delta tables, and traces any action back to its agent and identity
/// with the evidence shown.
#[derive(Debug, Parser)]
#[command(name = "agentrail", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = "Exit codes: 0 done; 1 failed; 2 misused; 3 nothing found; 4 not sound (check).\n\
    Start with: agentrail demo")]
pub struct Cli {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
pub struct Common {
    /// Folder of the lake, or its URL: az://container/path, s3://bucket/path [default: `lake.path` of the settings, which is `lake`]
    #[arg(long, global = true, env = "AGENTRAIL_LAKE", value_name = "DIR|URL", value_hint = ValueHint::DirPath)]
    pub lake: Option<PathBuf>,
    /// Configuration file (TOML); `agentrail check --defaults` prints every setting
    #[arg(long, global = true, env = "AGENTRAIL_CONFIG", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
    /// What is logged, as `level` or `target=level,...`
    #[arg(long, global = true, env = "AGENTRAIL_LOG", value_name = "FILTER")]
    pub log: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show it all on a small simulated organisation; needs nothing
    ///
    /// Ingests the recording of a small organisation through the webhook and the file source into
    /// a fresh lake, traces one action in full, shows three reports, and says what to try next.
    Demo(Demo),
    /// Ingest files, folders and patterns once, local or on object storage; `-` is standard input
    ///
    /// Any form Azure DevOps, Event Grid, Log Analytics or Splunk writes is told apart by content:
    /// audit pages and exports (JSON, NDJSON, CSV), hooks, REST bodies, sign-in logs, recorded REST
    /// traffic; gzip of any of them. A file taken before goes on where it was.
    Ingest(Ingest),
    /// Run all sources of the configuration until told to stop
    ///
    /// SIGTERM or Ctrl-C stops the sources, commits what was taken, answers who waits, and ends.
    Run(Run),
    /// Open the doors that the settings name to a lake, without any source, until told to stop
    ///
    /// `run` opens them beside its sources. Everybody sees what was committed by any process.
    Serve,
    /// Say who may sign in at the doors
    #[command(subcommand)]
    User(User),
    /// Send events and findings to the destinations of the settings, and say how that goes
    ///
    /// `run` sends all the time. Each destination has a durable cursor of its own.
    #[command(subcommand)]
    Export(Export),
    /// Say what the running processes are at: sources, lag, who reads what, and the lake
    ///
    /// Reads what each `run` writes into the lake every few seconds, and the checkpoints and ownerships of
    /// the hubs in the configuration.
    Status(Status),
    /// Say whether the configuration and the lake are sound; connects to nothing but the lake
    Check(Check),
    /// Ask in SQL; without a query, a prompt
    ///
    /// Views: actions, jobs, runs, agents, agents_now, pools, identities, bindings, grants,
    /// findings, coverage, rejects. Functions: trace(id), agent_at(organization, agent, time),
    /// actions_as_known(time), actions_of_agent(name or id, from, until), actions_of_run(run), jobs_of_run(run),
    /// jobs_of_agent(name or id, from, until), jobs_of_pool(pool, from, until), jobs_received(from, until),
    /// busy_of_pool(pool, from, until).
    Sql(Sql),
    /// Show a ready-made report; without a name, the list of them
    Report(Report),
    /// Trace an action, a run or an agent
    ///
    /// Prints the chain action -> job -> run -> pipeline and agent -> pool -> machine -> identity
    /// -> how it was registered, with all candidates, the grade, the evidence and what was missing.
    Trace(Trace),
    /// Run detections over history; without a name, all of them
    ///
    /// `run` and `ingest` run them by themselves over what is new. What is found is kept in `findings`, each
    /// finding once, however often it is found.
    Detect(Detect),
    /// List the detections, which actions they watch, and what none does; or show one whole
    Detections(ListDetections),
    /// Decide the actions of a span again with all that is known now, and say what changed
    ///
    /// `run` and `ingest` do so by themselves for what late evidence can touch. Old verdicts stay:
    /// actions_as_known(time) shows what was believed before.
    Reattribute(Reattribute),
    /// Write the recordings of a simulated organisation, and the truth of who did what; or serve it
    ///
    /// The same seed gives the same. Ingest the recordings into a lake of their own, then `score` it. Or
    /// let `run` collect it in real time over REST: it says how.
    Simulate(Simulate),
    /// Compare the verdicts of a lake with a known truth
    Score(Score),
    /// Compact small files, write checkpoints, remove what is expired; `run` does so by itself
    Maintain,
    /// Print the completions of a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Args)]
pub struct Demo {
    /// Keep the lake in this folder, which must be new or empty [default: a fresh folder below the system's temporary one]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub keep: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Ingest {
    /// Files, folders, patterns such as `exports/**/*.json.gz`, the same as URLs of object storage such as
    /// `az://container/folder/**` or `s3://bucket/folder`, or `-`
    #[arg(required = true, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub paths: Vec<String>,
    /// Organisation of payloads that do not name theirs
    #[arg(long, value_name = "NAME")]
    pub organization: Option<String>,
    /// Read files from their beginning, also those taken before; rows are kept once all the same
    #[arg(long)]
    pub again: bool,
    /// Form of the account
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
}

#[derive(Debug, Args)]
pub struct Run {
    /// Also write all that is fetched over REST to this folder, without its secrets; `ingest` replays it
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub record: Option<PathBuf>,
}

/// Changes of the file that `serve.users` names; a running server takes them at once.
#[derive(Debug, Subcommand)]
pub enum User {
    /// Add a person, or change one; the password is read from standard input, or made and printed
    Add(AddUser),
    /// List the people with their roles and what they may see
    List,
    /// Remove a person, whose next question is refused
    Remove {
        /// Name of the sign-in
        name: String,
    },
}

/// The destinations that `[[export.destinations]]` names.
#[derive(Debug, Subcommand)]
pub enum Export {
    /// Say where each destination stands: sent, refused, waiting, and why nothing goes out
    Status {
        /// `table` prints for people; other forms print one JSON array
        #[arg(long, value_enum, default_value_t = Format::Table)]
        format: Format,
    },
    /// Send until told to stop, without any source
    Run {
        /// End once all there is was confirmed
        #[arg(long)]
        once: bool,
    },
    /// Send again what was known since a moment, under the same keys
    Rewind {
        /// Name of the destination
        name: String,
        /// As `2026-03-05` or `2026-03-05T14:00:00Z`
        #[arg(long, value_name = "TIME", value_parser = moment)]
        to: Time,
    },
    /// Send again what the destination refused
    Replay {
        /// Name of the destination
        name: String,
    },
    /// List the shapes that records can be sent in
    Shapes,
}

#[derive(Debug, Args)]
pub struct AddUser {
    /// Name of the sign-in
    pub name: String,
    /// reader: no raw records and no ids of credentials; analyst: all rows in scope; admin: also what others asked [default: as before, or reader]
    #[arg(long, value_enum)]
    pub role: Option<Role>,
    /// Organisation, by name or id, that the person may see; may be given several times [default: as before, or all]
    #[arg(long = "organization", value_name = "NAME|ID")]
    pub organizations: Vec<String>,
    /// Project, by id, that the person may see; may be given several times [default: as before, or all]
    #[arg(long = "project", value_name = "ID")]
    pub projects: Vec<String>,
    /// Make a bearer token for programs in place of a password, and print it. Not given, the password of 12
    /// characters or more comes from standard input; without one whoever is changed keeps theirs, and others get
    /// one that is made and shown
    #[arg(long)]
    pub token: bool,
}

/// What a person may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Role {
    Reader,
    Analyst,
    Admin,
}

#[derive(Debug, Args)]
pub struct Status {
    /// `table` prints for people; other forms print one JSON object
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
}

#[derive(Debug, Args)]
pub struct Check {
    /// Print every setting with its default and meaning, then stop
    #[arg(long)]
    pub defaults: bool,
}

#[derive(Debug, Args)]
pub struct Simulate {
    /// What the world grows from
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    #[arg(long, default_value_t = 7)]
    pub days: usize,
    /// About so many
    #[arg(long, default_value_t = 2000)]
    pub events_per_day: usize,
    /// Folder to write to
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, required_unless_present = "serve")]
    pub out: Option<PathBuf>,
    /// Serve its REST API at this address until told to stop: its first working day begins now
    #[arg(long, value_name = "ADDRESS")]
    pub serve: Option<String>,
}

#[derive(Debug, Args)]
pub struct Score {
    /// Lines of `{"event_id", "executor", "agent"}`, as `simulate` writes them to truth.ndjson
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub truth: PathBuf,
    /// Form of the score
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
}

#[derive(Debug, Args)]
pub struct Reattribute {
    /// From this moment on, as `2026-03-05` or `2026-03-05T14:00:00Z`
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub since: Time,
    /// Up to this moment, exclusive [default: the end]
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub until: Option<Time>,
    /// Form of the account
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
}

#[derive(Debug, Args)]
pub struct Detect {
    /// Names of detections; `agentrail detections` lists them
    pub names: Vec<String>,
    /// Of what occurred from this moment on, as `2026-03-05` or `2026-03-05T14:00:00Z`
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub since: Time,
    /// Up to this moment, exclusive [default: the end]
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub until: Option<Time>,
    /// Try a parameter of the one named detection; nothing is kept then; may be given several times
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = key_value)]
    pub params: Vec<(String, String)>,
    /// Keep nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Form of the findings
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
}

#[derive(Debug, Args)]
pub struct ListDetections {
    /// Name of the detection to show
    pub name: Option<String>,
    /// Form of the list
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
}

#[derive(Debug, Args)]
pub struct Sql {
    /// The statement
    pub query: Option<String>,
    /// Form of the answer
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
}

#[derive(Debug, Args)]
pub struct Report {
    /// Name of the report
    pub name: Option<String>,
    /// A parameter of the report; may be given several times
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = key_value)]
    pub params: Vec<(String, String)>,
    /// Form of the answer
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
}

#[derive(Debug, Args)]
pub struct Trace {
    /// Event id (GUID or REST form), correlation id, authorization id, run id (also `build:7` or
    /// `release:7`), or agent name
    pub id: String,
    /// How many actions at most
    #[arg(long, default_value = "20", value_name = "N", value_parser = at_least_one)]
    pub limit: usize,
    /// `table` prints for people; `json` is stable and documented in the README
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
}

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Aligned columns for people
    Table,
    /// One JSON array
    Json,
    /// Comma-separated values with a header
    Csv,
    /// One JSON object a line
    Ndjson,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|n| *n > 0).ok_or("write a number of at least 1".to_owned())
}

fn moment(text: &str) -> Result<Time, String> {
    let date = || crate::model::Date::parse(text).map(crate::model::Date::start);
    Time::parse(text).or_else(date).ok_or("write it as 2026-03-05 or 2026-03-05T14:00:00Z".to_owned())
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as name=value")?;
    Ok((name.trim().to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_sound() {
        super::Cli::command().debug_assert();
    }
}
