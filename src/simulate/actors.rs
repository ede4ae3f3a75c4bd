//! Who acts in the simulated organisation, as the audit log would name them.

use super::audit::Actor;
use super::world::{ORGANIZATION, PAT};

pub(super) fn person() -> Actor {
    Actor {
        name: "Ada Byron".to_owned(),
        upn: "ada@contoso.example".to_owned(),
        id: "e0729319-5632-68c1-9625-b53fe559bc01".to_owned(),
        auth: Some("AAD_Cookie".to_owned()),
        ip: Some("203.0.113.9".to_owned()),
        user_agent: "Mozilla/5.0 (X11; Linux x86_64)".to_owned(),
        ..Actor::default()
    }
}

pub(super) fn token() -> Actor {
    Actor {
        auth: Some(format!("PAT_Unscoped authorizationId: {PAT}")),
        user_agent: "VSServices/16.255 (NetStandard; Linux 6.8.0-azure) VstsAgentCore-l".to_owned(),
        ..person()
    }
}

pub(super) fn application(name: &str, client: &str) -> Actor {
    Actor {
        name: name.to_owned(),
        upn: name.to_owned(),
        client_id: client.to_owned(),
        auth: Some("AADServicePrincipal".to_owned()),
        ip: Some("198.51.100.7".to_owned()),
        user_agent: "VSServices/16.255 (NetStandard; Linux 6.8.0-azure)".to_owned(),
        ..Actor::default()
    }
}

pub(super) fn service() -> Actor {
    Actor {
        name: "Azure DevOps Service".to_owned(),
        upn: "Azure DevOps Service".to_owned(),
        id: "00000002-0000-8888-8000-000000000000".to_owned(),
        auth: Some("S2S_ServicePrincipal".to_owned()),
        user_agent: "VSServices/19.255 (TfsJobAgent.exe) (Service=tfs)".to_owned(),
        ..Actor::default()
    }
}

pub(super) fn build_service(project: usize) -> Actor {
    let (id, name) = super::world::project(project);
    Actor {
        name: format!("{name} Build Service ({})", ORGANIZATION.1),
        upn: name.clone(),
        id: id.replace("5b", "5a"),
        auth: Some("SessionToken_Unscoped".to_owned()),
        ip: Some("198.51.100.20".to_owned()),
        user_agent: "VSServices/16.255 (NetStandard; Linux 6.8.0-azure)".to_owned(),
        ..Actor::default()
    }
}

/// Whoever has the token now, from where its owner never was.
pub(super) fn thief() -> Actor {
    Actor { ip: Some("192.0.2.66".to_owned()), user_agent: "python-requests/2.32".to_owned(), ..token() }
}

/// Whose jobs are those of all projects.
pub(super) fn collection_service() -> Actor {
    Actor {
        name: format!("Project Collection Build Service ({})", ORGANIZATION.1),
        upn: ORGANIZATION.0.to_owned(),
        id: ORGANIZATION.0.replace("5b", "5a"),
        ..build_service(0)
    }
}
