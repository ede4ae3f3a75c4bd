//! `user`: who may sign in at the doors.

use std::io::{IsTerminal as _, Read as _};

use super::{Failure, ask};
use crate::cli;
use crate::model::is_guid;
use crate::serve::{Role, User, Users, Verifier, token_hash};
use crate::settings::Settings;

/// Shorter passwords are guessed.
const LEAST: usize = 12;

pub(super) fn run(asked: cli::User, settings: &Settings) -> Result<u8, Failure> {
    let path = &settings.serve.users;
    if path.as_os_str().is_empty() {
        return Err(Failure::says(
            "find the file of users: name it in `serve.users` of the configuration, or as AGENTRAIL_SERVE__USERS",
        ));
    }
    let fail = |e| Failure::of("change who may sign in", e);
    let mut users = if path.exists() { Users::read(path).map_err(fail)? } else { Users::default() };
    match asked {
        cli::User::List => {
            let all = |texts: &[String]| if texts.is_empty() { "all".to_owned() } else { texts.join(",") };
            let mut text = String::new();
            for (name, user) in &users.0 {
                let (organizations, projects) = (all(&user.organizations), all(&user.projects));
                text.push_str(&format!(
                    "{name:<24} {:<8} organizations: {organizations}  projects: {projects}\n",
                    user.role.name()
                ));
            }
            ask::print(text.as_bytes())
        }
        cli::User::Remove { name } => {
            if users.0.remove(&name).is_none() {
                return Err(Failure::says(format!(
                    "find {name} among the users; `agentrail user list` has them"
                )));
            }
            users.write(path).map_err(fail)?;
            ask::print(format!("{name} may not sign in any more\n").as_bytes())
        }
        cli::User::Add(add) => {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
            if add.name.is_empty() || !add.name.chars().all(is_plain) {
                return Err(Failure::says(format!(
                    "add `{}`: a name is of letters, digits, `-`, `_`, `.` and `@`",
                    add.name
                )));
            }
            let told = change(&mut users, add)?;
            users.write(path).map_err(fail)?;
            ask::print(told.as_bytes())
        }
    }
}

/// Adds or changes a person; returns what to tell whoever asked for it.
fn change(users: &mut Users, add: cli::AddUser) -> Result<String, Failure> {
    let empty = User {
        role: Role::Reader,
        verifier: String::new(),
        tokens: Vec::new(),
        organizations: Vec::new(),
        projects: Vec::new(),
    };
    if let Some(named) = add.projects.iter().find(|project| !is_guid(project)) {
        return Err(Failure::says(format!(
            "bind {} to the project `{named}`: write its id; `select distinct project_id, project from actions` tells it",
            add.name
        )));
    }
    let user = users.0.entry(add.name.clone()).or_insert(empty);
    let is_changed = add.role.is_some() || !add.organizations.is_empty() || !add.projects.is_empty();
    let told = if add.token {
        let token = drawn()?;
        user.tokens.push(token_hash(&token));
        format!("token of {}, shown this once: {token}\n", add.name)
    } else {
        let given = password()?;
        if given.is_none() && is_changed && !user.verifier.is_empty() {
            format!("{} is changed, the password is the one of before\n", add.name)
        } else {
            let (password, told) = match given {
                Some(given) => (given, format!("{} may sign in\n", add.name)),
                None => {
                    let own = drawn()?;
                    let told = format!("password of {}, shown this once: {own}\n", add.name);
                    (own, told)
                }
            };
            let mut salt = [0; 16];
            getrandom::fill(&mut salt).map_err(|e| Failure::of("draw random numbers", e.to_string()))?;
            user.verifier = Verifier::of(&password, salt.to_vec()).to_string();
            told
        }
    };
    user.role = match add.role {
        Some(cli::Role::Reader) => Role::Reader,
        Some(cli::Role::Analyst) => Role::Analyst,
        Some(cli::Role::Admin) => Role::Admin,
        None => user.role,
    };
    let keep = |own: &mut Vec<String>, said: Vec<String>| {
        if !said.is_empty() {
            *own = said;
        }
    };
    keep(&mut user.organizations, add.organizations);
    // As the lake has them.
    keep(&mut user.projects, add.projects.iter().map(|id| id.to_ascii_lowercase()).collect());
    Ok(told)
}

/// The password on standard input; `None` where nobody pipes one in.
fn password() -> Result<Option<String>, Failure> {
    let mut given = String::new();
    if !std::io::stdin().is_terminal() {
        let mut input = std::io::stdin().take(4096);
        input.read_to_string(&mut given).map_err(|e| Failure::of("read the password", e))?;
    }
    let given = given.trim_end_matches(['\r', '\n']);
    if given.is_empty() {
        return Ok(None);
    }
    // Clients bring other characters into a form of their own first.
    if !given.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        return Err(Failure::says("take the password: use printable ASCII"));
    }
    if given.len() < LEAST {
        return Err(Failure::says(format!("take the password: use at least {LEAST} characters")));
    }
    Ok(Some(given.to_owned()))
}

/// 192 random bits as text.
fn drawn() -> Result<String, Failure> {
    use base64::Engine as _;
    let mut bytes = [0; 24];
    getrandom::fill(&mut bytes).map_err(|e| Failure::of("draw random numbers", e.to_string()))?;
    Ok(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes))
}
