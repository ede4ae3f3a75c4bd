//! Who is in which group and may do what: what Graph, roles and pipelines list, and how that changes.

use base64::Engine as _;
use serde_json::{Value as Json, json};

use super::actors::{build_service, person, thief};
use super::present::list;
use super::world::{Builder, CONNECTION, DEPLOYER, ORGANIZATION, POOLS, REGISTRAR, project};
use crate::model::Time;

/// Groups of Azure DevOps itself: storage key and name.
const ADMINISTRATORS: (&str, &str) =
    ("5e000000-0000-4000-8000-00000000000a", "[contoso]\\Project Collection Administrators");
const RELEASERS: (&str, &str) = ("5e000000-0000-4000-8000-00000000000b", "[shop]\\Release Administrators");
const DEPLOYERS: (&str, &str) = ("5e000000-0000-4000-8000-00000000000c", "[shop]\\Deployers");
const GROUPS: [(&str, &str); 3] = [ADMINISTRATORS, RELEASERS, DEPLOYERS];
/// Who approves what others deploy.
pub(super) const APPROVER: (&str, &str) = ("e0729319-5632-68c1-9625-b53fe559bc02", "Grace Hopper");

/// When somebody sees what the attacker gave themselves.
const EVENING: i64 = 64_800;

fn encoded(kind: &str, text: &str) -> String {
    format!("{kind}.{}", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text))
}

fn group(group: (&str, &str)) -> String {
    encoded("vssgp", &format!("S-1-9-{}", group.0.replace('-', "")))
}

/// A person's descriptor holds their storage key with another version digit.
fn user(storage_key: &str) -> String {
    encoded("aad", &format!("{}7{}", &storage_key[..14], &storage_key[15..]))
}

/// An application's storage key.
fn key_of(client: &str) -> String {
    format!("7e000000-0000-6000{}", &client[18..])
}

pub(super) fn principal(client: &str) -> String {
    let key = key_of(client);
    encoded("aadsp", &format!("{}7{}", &key[..14], &key[15..]))
}

fn service(project_id: &str) -> String {
    encoded("svc", &format!("{}:Build:{project_id}", ORGANIZATION.0))
}

/// The address of the picture of a build identity: of a project, or with the organisation's id of all.
pub(super) fn picture(scope: &str) -> String {
    format!("https://dev.azure.com/{}/_apis/GraphProfile/MemberAvatars/{}", ORGANIZATION.1, service(scope))
}

impl Builder {
    pub(super) fn users(&self) -> Json {
        let ada = person();
        let people = [(ada.id.as_str(), ada.name.as_str()), APPROVER].map(|(key, name)| {
            let mail = format!("{}@contoso.example", name.split(' ').next().unwrap_or(name).to_lowercase());
            json!({
                "subjectKind": "user", "displayName": name, "origin": "aad", "originId": key.replace("e0729319", "0e0e0e0e"),
                "principalName": mail, "mailAddress": mail, "domain": "62e2ee3f-dbd4-48d8-9b85-4a3000000000", "descriptor": user(key),
            })
        });
        let services = (0..self.plan.projects).map(|p| {
            let (id, actor) = (project(p).0, build_service(p));
            json!({
                "subjectKind": "user", "displayName": actor.name, "origin": "vsts", "originId": actor.id, "principalName": id,
                "domain": "Build", "descriptor": service(&id),
            })
        });
        list(people.into_iter().chain(services).collect())
    }

    pub(super) fn groups(&self) -> Json {
        let groups = GROUPS.map(|g| {
            json!({"subjectKind": "group", "displayName": g.1, "principalName": g.1, "origin": "vsts", "originId": g.0, "descriptor": group(g)})
        });
        list(groups.to_vec())
    }

    /// The members of a group at a moment. What the attacker gave themselves is taken away in the evening, by
    /// somebody who saw it.
    pub(super) fn members(&self, of: &str, at: Time) -> Json {
        let (ada, attacked) = (user(&person().id), self.plan.trouble && at < self.at(EVENING));
        let who = match GROUPS.into_iter().find(|g| group(*g) == of) {
            Some(ADMINISTRATORS) if attacked && at >= self.at(7_240) => vec![user(APPROVER.0), ada],
            Some(ADMINISTRATORS) => vec![user(APPROVER.0)],
            Some(RELEASERS) => vec![group(DEPLOYERS)],
            Some(_) if attacked => vec![principal(DEPLOYER), ada, principal(REGISTRAR)],
            Some(_) => vec![principal(DEPLOYER), ada],
            None => Vec::new(),
        };
        list(who.iter().map(|m| json!({"containerDescriptor": of, "memberDescriptor": m})).collect())
    }

    pub(super) fn pool_roles(&self, pool: i64) -> Json {
        let role = |id: &str, name: &str, role: &str| json!({"identity": {"id": id, "displayName": name}, "role": {"name": role}, "access": "assigned"});
        let ada = person();
        list(if pool == POOLS[0].0 {
            vec![role(&ada.id, &ada.name, "Administrator"), role(RELEASERS.0, RELEASERS.1, "User")]
        } else {
            vec![role(&key_of(REGISTRAR), "agent-registrar", "Administrator")]
        })
    }

    /// Which pipelines may use the service connection.
    pub(super) fn pipeline_permissions(&self) -> Json {
        let by = json!({"id": person().id, "displayName": person().name});
        let pipelines = (0..self.plan.projects).map(|p| {
            json!({"id": 30 + p, "authorized": true, "authorizedBy": by, "authorizedOn": self.at(7000).to_string()})
        });
        json!({"resource": {"type": "endpoint", "id": CONNECTION}, "pipelines": pipelines.collect::<Vec<_>>()})
    }

    /// What was listed in the night, and of groups again in the evening.
    pub(super) fn reach_captures(&self) -> Vec<String> {
        let mut out = vec![
            self.capture(self.at(7410), "_apis/graph/users", self.users()),
            self.capture(self.at(7420), "_apis/graph/groups", self.groups()),
        ];
        for (of, at) in GROUPS.into_iter().flat_map(|g| [(g, self.at(7430)), (g, self.at(EVENING))]) {
            let path = format!("_apis/graph/memberships/{}?direction=Down", group(of));
            out.push(self.capture(at, &path, self.members(&group(of), at)));
        }
        for (pool, _) in POOLS {
            let scope = "_apis/securityroles/scopes/distributedtask.agentpoolrole/roleassignments/resources";
            out.push(self.capture(self.at(7440), &format!("{scope}/{pool}"), self.pool_roles(pool)));
        }
        let path = format!("{}/_apis/pipelines/pipelinepermissions/endpoint/{CONNECTION}", project(0).0);
        out.push(self.capture(self.at(7450), &path, self.pipeline_permissions()));
        out
    }

    /// That a deployment was approved: mostly by another person than the one who asked for it.
    pub(super) fn approval(&self, run: usize, at: Time) -> String {
        let ada = person();
        let approver = if run.is_multiple_of(8) { (ada.id.as_str(), ada.name.as_str()) } else { APPROVER };
        let step =
            json!({"actualApprover": {"id": approver.0, "displayName": approver.1}, "status": "approved"});
        json!({
            "id": super::guid(7, run), "eventType": "ms.vss-pipelinechecks-events.approval-completed", "publisherId": "pipelines",
            "resource": {
                "approval": {"id": super::guid(8, run), "steps": [step], "status": "approved", "minRequiredApprovers": 1},
                "run": {"id": Self::run_id(run), "name": self.run_name(run)}, "stageName": "Deploy",
            },
            "resourceContainers": {
                "collection": {"id": ORGANIZATION.0, "baseUrl": format!("https://dev.azure.com/{}/", ORGANIZATION.1)},
                "project": {"id": project(self.project_of(run)).0},
            },
            "createdDate": at.to_string(),
        })
        .to_string()
    }
}

/// The thief makes the owner of the token an administrator.
pub(super) fn membership() -> Json {
    json!({
        "CallerProcedure": "prc_UpdateGroupMembership", "EventAuthor": thief().id,
        "Updates": [{"GroupId": ADMINISTRATORS.0.to_uppercase(), "MemberId": thief().id.to_uppercase(), "Active": "True"}],
        "GroupId": ADMINISTRATORS.0, "GroupName": ADMINISTRATORS.1, "MemberId": thief().id, "MemberDisplayName": thief().name,
    })
}

const NAMESPACE: &str = "Git Repositories";
const TOKEN: &str = "repoV2/5b000000-0000-4000-8000-000000001001";

/// And lets the build of a project and an application of theirs write to all repositories.
pub(super) fn permissions() -> Json {
    let given = |subject: String, names: &str| json!({"SubjectDescriptor": subject, "PermissionNames": names, "Change": "Allow"});
    json!({
        "NamespaceName": NAMESPACE, "Token": TOKEN,
        "EventSummary": [given(service(&project(0).0), "Contribute, Bypass policies when pushing"), given(principal(DEPLOYER), "Contribute")],
    })
}

/// What was found of it in the morning is reset.
pub(super) fn reset() -> Json {
    json!({"NamespaceName": NAMESPACE, "Token": TOKEN, "SubjectDescriptor": format!("Microsoft.TeamFoundation.ServiceIdentity;{}:Build:{}", ORGANIZATION.0, project(0).0)})
}
