//! The commands that read: sql, report, trace.

use std::io::{IsTerminal as _, Write as _};

use super::{Failure, NOTHING_FOUND, open_existing, session};
use crate::cli;
use crate::query::{Catalogue, Format, render, write};
use crate::settings::Settings;
use crate::store::Lake;

impl From<cli::Format> for Format {
    fn from(format: cli::Format) -> Format {
        match format {
            cli::Format::Table => Format::Table,
            cli::Format::Json => Format::Json,
            cli::Format::Csv => Format::Csv,
            cli::Format::Ndjson => Format::Ndjson,
        }
    }
}

/// One statement, or the prompt.
pub(super) async fn sql(sql: cli::Sql, settings: &Settings) -> Result<u8, Failure> {
    let lake = open_existing(settings).await?;
    let Some(query) = sql.query else { return prompt(&lake, settings, sql.format.into()).await };
    statement(&lake, settings, &query, sql.format.into()).await?;
    Ok(0)
}

async fn statement(lake: &Lake, settings: &Settings, text: &str, format: Format) -> Result<(), Failure> {
    let session = session(lake, settings)?;
    let answer = session.sql(text).await.map_err(|e| Failure::of("run the query", e))?;
    let mut out = std::io::stdout().lock();
    match write(answer, format, &mut out).await {
        Err(e) if e.is_broken_pipe() => Ok(()),
        done => done.map(drop).map_err(|e| Failure::of("run the query", e)),
    }
}

/// Reads statements until the end of input; one ends with a semicolon.
async fn prompt(lake: &Lake, settings: &Settings, format: Format) -> Result<u8, Failure> {
    let mut editor = rustyline::DefaultEditor::new().map_err(|e| Failure::of("start the prompt", e))?;
    let terminal = std::io::stdin().is_terminal();
    if terminal {
        println!(
            "agentrail {}: SQL ends with `;`, \\q leaves, \\d lists the tables, \\d NAME its columns.",
            env!("CARGO_PKG_VERSION")
        );
    }
    let mut pending = String::new();
    loop {
        let read = tokio::task::block_in_place(|| {
            editor.readline(if pending.is_empty() { "agentrail> " } else { "       ...> " })
        });
        let line = match read {
            Ok(line) => line,
            Err(rustyline::error::ReadlineError::Interrupted) => {
                pending.clear();
                continue;
            }
            Err(rustyline::error::ReadlineError::Eof) => break,
            Err(e) => return Err(Failure::of("read the prompt", e)),
        };
        let word = line.trim();
        if pending.is_empty() && (word == "\\q" || word == "exit" || word == "quit") {
            return Ok(0);
        }
        if pending.is_empty() && word.starts_with("\\d") {
            let name = word.trim_start_matches("\\d").trim().replace('\'', "''");
            pending = if name.is_empty() {
                "select table_schema, table_name from information_schema.tables \
                 where table_schema <> 'information_schema' order by 1, 2;"
                    .to_owned()
            } else {
                format!(
                    "select column_name, data_type from information_schema.columns where table_name = '{name}' order by ordinal_position;"
                )
            };
        } else {
            pending.push_str(&line);
            pending.push('\n');
        }
        if pending.trim_end().ends_with(';') {
            let text = std::mem::take(&mut pending);
            let _ = editor.add_history_entry(text.trim());
            lake.refresh().await.map_err(|e| Failure::of("read the lake", e))?;
            if let Err(failure) = statement(lake, settings, text.trim().trim_end_matches(';'), format).await {
                eprintln!("{failure}");
            }
        }
    }
    if !pending.trim().is_empty() {
        statement(lake, settings, pending.trim(), format).await?;
    }
    Ok(0)
}

/// One report, or the list of them.
pub(super) async fn report(report: cli::Report, settings: &Settings) -> Result<u8, Failure> {
    let catalogue = Catalogue::embedded();
    let Some(name) = report.name else {
        let mut text = String::new();
        for query in catalogue.reports() {
            text.push_str(&format!("{:<28} {}\n", query.name, query.title));
            for (name, param) in &query.params {
                let default =
                    param.default.as_deref().map_or_else(String::new, |d| format!(" [default: {d}]"));
                text.push_str(&format!(
                    "{:<28}   --param {name}=<{}>  {}{default}\n",
                    "", param.kind, param.doc
                ));
            }
        }
        return print(text.as_bytes());
    };
    let lake = open_existing(settings).await?;
    let session = session(&lake, settings)?;
    let answer = session
        .report(&name, &report.params)
        .await
        .map_err(|e| Failure::of(format!("show the report `{name}`"), e))?;
    let mut out = std::io::stdout().lock();
    match write(answer, report.format.into(), &mut out).await {
        Err(e) if e.is_broken_pipe() => Ok(0),
        done => done.map(|_| 0).map_err(|e| Failure::of(format!("show the report `{name}`"), e)),
    }
}

/// The trace of one id.
pub(super) async fn trace(asked: cli::Trace, settings: &Settings) -> Result<u8, Failure> {
    let lake = open_existing(settings).await?;
    let session = session(&lake, settings)?;
    let fail = |e| Failure::of(format!("trace `{}`", asked.id), e);
    let trace = session.trace(&asked.id, asked.limit).await.map_err(fail)?;
    let text = match asked.format {
        cli::Format::Table => {
            let mut text = render(&trace, std::io::stdout().is_terminal());
            if trace.actions.len().max(trace.jobs.len()) == asked.limit {
                text.push_str(&format!(
                    "\n(no more than {} are shown; raise --limit for the rest)\n",
                    asked.limit
                ));
            }
            text
        }
        _ => {
            serde_json::to_string_pretty(&trace).map_err(|e| Failure::of("write the trace as JSON", e))?
                + "\n"
        }
    };
    print(text.as_bytes())?;
    Ok(if trace.is_empty() { NOTHING_FOUND } else { 0 })
}

/// Prints to standard output; a reader that left early is no failure.
pub(super) fn print(text: &[u8]) -> Result<u8, Failure> {
    match std::io::stdout().lock().write_all(text) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::of("write to standard output", e))
        }
        _ => Ok(0),
    }
}
