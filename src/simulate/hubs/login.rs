//! The security layer before AMQP: rights come from `$cbs`, so nearly everyone is let in.

use fe2o3_amqp::acceptor::SaslAcceptor;
use fe2o3_amqp::acceptor::sasl_acceptor::SaslServerFrame;
use fe2o3_amqp_types::primitives::{Array, Symbol};
use fe2o3_amqp_types::sasl::{SaslCode, SaslInit, SaslOutcome, SaslResponse};

use super::token::SharedKey;

/// Lets in who says nothing of himself, and who knows the shared key.
#[derive(Clone, Debug)]
pub struct Login {
    key: SharedKey,
}

impl Login {
    pub fn new(key: SharedKey) -> Self {
        Self { key }
    }

    fn judge(&self, init: &SaslInit) -> SaslCode {
        match init.mechanism.as_str() {
            "ANONYMOUS" | "EXTERNAL" | "MSSBCBS" => SaslCode::Ok,
            "PLAIN" => {
                let given =
                    init.initial_response.as_ref().map(|response| response.to_vec()).unwrap_or_default();
                let mut parts = given.split(|byte| *byte == 0).skip(1);
                let known = parts.next() == Some(self.key.name.as_bytes())
                    && parts.next() == Some(self.key.key.as_bytes());
                if known { SaslCode::Ok } else { SaslCode::Auth }
            }
            _ => SaslCode::Auth,
        }
    }
}

fn outcome(code: SaslCode) -> SaslServerFrame {
    SaslServerFrame::Outcome(SaslOutcome { code, additional_data: None })
}

impl SaslAcceptor for Login {
    fn mechanisms(&self) -> Array<Symbol> {
        Array(["MSSBCBS", "PLAIN", "ANONYMOUS", "EXTERNAL"].map(Symbol::from).to_vec())
    }

    fn on_init(&mut self, init: SaslInit) -> SaslServerFrame {
        outcome(self.judge(&init))
    }

    fn on_response(&mut self, _: SaslResponse) -> SaslServerFrame {
        // No mechanism here asks back.
        outcome(SaslCode::Sys)
    }
}
