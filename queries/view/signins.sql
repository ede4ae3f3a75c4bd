--! title = "Tokens issued to service principals and managed identities"
--! reads = ["signins"]
select "key", "sign_in_id", "occurred", "observed", "organization_id", "organization", "kind", "application_id", "service_principal_id", "name", "resource_id", "resource_name", "ip", "token_id", "tenant_id", "result", "credential_key_id", "record_hash", "known", "writer", "seq"
from lake.signins
