//! Who we are to Azure: a managed identity first; to Azure DevOps a personal access token last.

use std::sync::Arc;

use azure_core::credentials::{Secret, TokenCredential};
use azure_identity::{
    AzureCliCredential, ClientSecretCredential, ManagedIdentityCredential, ManagedIdentityCredentialOptions,
    UserAssignedId, WorkloadIdentityCredential,
};
use base64::Engine as _;

/// The resource that Entra tokens for Azure DevOps are issued to; the same in every tenant.
/// (learn.microsoft.com, "Use Microsoft Entra tokens", Azure DevOps resource id)
const SCOPE: &str = "499b84ac-1321-427f-aa17-267ca6975798/.default";

/// How to sign in; `settings/default.toml` says what each means.
#[derive(Debug, Clone, Default)]
pub struct SignIn {
    /// `managed_identity`, `workload_identity`, `client_secret`, `azure_cli` or `pat`.
    pub kind: String,
    pub tenant_id: String,
    pub client_id: String,
    /// Client secret or token, resolved already.
    pub secret: String,
}

/// A sign-in that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    #[error(
        "understand the credential `{kind}`; write managed_identity, workload_identity, client_secret, azure_cli or pat"
    )]
    Kind { kind: String },
    #[error(
        "understand the credential `{kind}`; write managed_identity, workload_identity, client_secret or azure_cli"
    )]
    NoToken { kind: String },
    #[error("sign in by {kind}: set `{setting}` beside it")]
    Lacks { kind: &'static str, setting: &'static str },
    #[error("sign in by {kind}")]
    Azure { kind: String, source: azure_core::Error },
}

/// Gives the value of the `authorization` header; tokens are cached and renewed behind it.
pub(super) enum Credential {
    Token { kind: String, credential: Arc<dyn TokenCredential> },
    Basic(String),
}

impl SignIn {
    /// Whether the settings are complete; connects to nothing.
    pub fn check(&self) -> Result<(), CredentialError> {
        self.build().map(drop)
    }

    pub(super) fn build(&self) -> Result<Credential, CredentialError> {
        if self.kind != "pat" {
            let known = |e| match e {
                CredentialError::NoToken { kind } => CredentialError::Kind { kind },
                other => other,
            };
            let credential = self.token_credential().map_err(known)?;
            return Ok(Credential::Token { kind: self.kind.clone(), credential });
        }
        if self.secret.is_empty() {
            return Err(CredentialError::Lacks { kind: "pat", setting: "pat" });
        }
        let pair = format!(":{}", self.secret);
        let basic = base64::engine::general_purpose::STANDARD.encode(pair);
        Ok(Credential::Basic(format!("Basic {basic}")))
    }

    /// A source of Entra tokens, whatever service they are for; connects to nothing.
    pub fn token_credential(&self) -> Result<Arc<dyn TokenCredential>, CredentialError> {
        let fail = |source| CredentialError::Azure { kind: self.kind.clone(), source };
        let lacks = |setting| Err(CredentialError::Lacks { kind: "client_secret", setting });
        Ok(match self.kind.as_str() {
            "managed_identity" => {
                let user_assigned_id = Some(self.client_id.clone()).filter(|id| !id.is_empty());
                let options = ManagedIdentityCredentialOptions {
                    user_assigned_id: user_assigned_id.map(UserAssignedId::ClientId),
                    ..Default::default()
                };
                ManagedIdentityCredential::new(Some(options)).map_err(fail)?
            }
            "workload_identity" => WorkloadIdentityCredential::new(None).map_err(fail)?,
            "azure_cli" => AzureCliCredential::new(None).map_err(fail)?,
            "client_secret" => {
                if self.tenant_id.is_empty() {
                    return lacks("tenant_id");
                }
                if self.client_id.is_empty() {
                    return lacks("client_id");
                }
                if self.secret.is_empty() {
                    return lacks("client_secret");
                }
                let secret = Secret::new(self.secret.clone());
                ClientSecretCredential::new(&self.tenant_id, self.client_id.clone(), secret, None)
                    .map_err(fail)?
            }
            other => return Err(CredentialError::NoToken { kind: other.to_owned() }),
        })
    }
}

impl Credential {
    /// The header for a request made now.
    pub async fn header(&self) -> Result<String, CredentialError> {
        match self {
            Credential::Basic(header) => Ok(header.clone()),
            Credential::Token { kind, credential } => {
                let token = credential.get_token(&[SCOPE], None).await;
                let token = token.map_err(|source| CredentialError::Azure { kind: kind.clone(), source })?;
                Ok(format!("Bearer {}", token.token.secret()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_sign_in_lacks_is_said() {
        let says = |kind: &str, secret: &str| {
            let sign_in = SignIn { kind: kind.to_owned(), secret: secret.to_owned(), ..SignIn::default() };
            sign_in.check().map_err(|e| e.to_string())
        };
        assert!(says("pat", "").unwrap_err().contains("`pat`"));
        assert!(says("client_secret", "x").unwrap_err().contains("`tenant_id`"));
        assert!(says("password", "x").unwrap_err().contains("managed_identity"));
        assert!(says("pat", "x").is_ok());
    }
}
