//! SCRAM-SHA-256 (RFC 5802, 7677): verifiers in the form of PostgreSQL, and the server's half of a sign-in.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

const NAME: &str = "SCRAM-SHA-256";
/// More than PostgreSQL's 4096; some milliseconds a guess.
const ITERATIONS: u32 = 10_000;
/// A file that asks for more work than this is not believed.
const MOST_ITERATIONS: u32 = 1_000_000;

/// What is kept of a password: it proves a password right and is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verifier {
    iterations: u32,
    salt: Vec<u8>,
    stored_key: [u8; 32],
    server_key: [u8; 32],
}

/// Why a sign-in did not go on.
#[derive(Debug, thiserror::Error)]
pub enum ScramError {
    #[error("understand the SCRAM message of the client")]
    Message,
    #[error("sign in: the client asks for channel binding, which is not offered")]
    Binding,
    #[error("sign in: name or password is wrong")]
    Wrong,
}

impl Verifier {
    /// Of a password in ASCII, which SASLprep leaves as it is.
    pub fn of(password: &str, salt: Vec<u8>) -> Verifier {
        let salted = salted(password.as_bytes(), &salt, ITERATIONS);
        let stored_key = Sha256::digest(mac(&salted, b"Client Key")).into();
        Verifier { iterations: ITERATIONS, salt, stored_key, server_key: mac(&salted, b"Server Key") }
    }

    /// One that no password is right for, the same for a name each time, so that a name which is not there
    /// looks like one that is.
    pub fn of_nobody(name: &str, secret: &[u8; 32]) -> Verifier {
        let salt = mac(secret, name.as_bytes())[..16].to_vec();
        let key = mac(secret, format!("key of {name}").as_bytes());
        Verifier { iterations: ITERATIONS, salt, stored_key: key, server_key: key }
    }

    /// Reads `SCRAM-SHA-256$iterations:salt$stored key:server key`.
    pub fn parse(text: &str) -> Option<Verifier> {
        let (iterations, rest) = text.strip_prefix(NAME)?.strip_prefix('$')?.split_once(':')?;
        let (salt, keys) = rest.split_once('$')?;
        let (stored, server) = keys.split_once(':')?;
        let key = |text: &str| <[u8; 32]>::try_from(STANDARD.decode(text).ok()?).ok();
        Some(Verifier {
            iterations: iterations.parse().ok().filter(|n| (1..=MOST_ITERATIONS).contains(n))?,
            salt: STANDARD.decode(salt).ok()?,
            stored_key: key(stored)?,
            server_key: key(server)?,
        })
    }

    /// Whether a password is the right one.
    pub fn proves(&self, password: &str) -> bool {
        let salted = salted(password.as_bytes(), &self.salt, self.iterations);
        let stored: [u8; 32] = Sha256::digest(mac(&salted, b"Client Key")).into();
        stored.ct_eq(&self.stored_key).into()
    }
}

impl std::fmt::Display for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [salt, stored, server] =
            [&self.salt[..], &self.stored_key, &self.server_key].map(|bytes| STANDARD.encode(bytes));
        write!(f, "{NAME}${}:{salt}${stored}:{server}", self.iterations)
    }
}

/// A sign-in of which the client spoke first.
#[derive(Debug)]
pub struct Exchange {
    verifier: Verifier,
    /// The client's first message without its header, and ours.
    begun: String,
    /// The header as the client must say it again.
    header: String,
    nonce: String,
}

impl Exchange {
    /// Answers the client's first message; `nonce` is ours, printable and drawn anew.
    pub fn begin(verifier: Verifier, first: &[u8], nonce: &str) -> Result<(Exchange, String), ScramError> {
        let first = std::str::from_utf8(first).map_err(|_| ScramError::Message)?;
        let mut parts = first.splitn(3, ',');
        let (flag, name) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let bare = parts.next().ok_or(ScramError::Message)?;
        match flag {
            "n" | "y" => {}
            flag if flag.starts_with("p=") => return Err(ScramError::Binding),
            _ => return Err(ScramError::Message),
        }
        let own = bare.split(',').find_map(|part| part.strip_prefix("r=")).filter(|own| !own.is_empty());
        let nonce = format!("{}{nonce}", own.ok_or(ScramError::Message)?);
        let answer = format!("r={nonce},s={},i={}", STANDARD.encode(&verifier.salt), verifier.iterations);
        let begun = format!("{bare},{answer}");
        Ok((Exchange { verifier, begun, header: format!("{flag},{name},"), nonce }, answer))
    }

    /// Answers the client's last message where its proof is right.
    pub fn end(&self, last: &[u8]) -> Result<String, ScramError> {
        let last = std::str::from_utf8(last).map_err(|_| ScramError::Message)?;
        let (said, proof) = last.rsplit_once(",p=").ok_or(ScramError::Message)?;
        let part = |name: &str| said.split(',').find_map(|part| part.strip_prefix(name));
        let bound = part("c=").and_then(|text| STANDARD.decode(text).ok()).ok_or(ScramError::Message)?;
        if bound != self.header.as_bytes() || part("r=") != Some(&self.nonce) {
            return Err(ScramError::Message);
        }
        let message = format!("{},{said}", self.begun);
        let proof = STANDARD.decode(proof).map_err(|_| ScramError::Message)?;
        let signature = mac(&self.verifier.stored_key, message.as_bytes());
        if proof.len() != signature.len() {
            return Err(ScramError::Message);
        }
        let client_key: Vec<u8> = proof.iter().zip(signature).map(|(a, b)| a ^ b).collect();
        let stored: [u8; 32] = Sha256::digest(&client_key).into();
        if !bool::from(stored.ct_eq(&self.verifier.stored_key)) {
            return Err(ScramError::Wrong);
        }
        Ok(format!("v={}", STANDARD.encode(mac(&self.verifier.server_key, message.as_bytes()))))
    }
}

/// HMAC-SHA-256.
pub(super) fn mac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let Ok(mac) = Hmac::<Sha256>::new_from_slice(key) else { unreachable!("a key of any length is taken") };
    mac.chain_update(message).finalize().into_bytes().into()
}

/// PBKDF2 of one block, which is what SCRAM calls `Hi`.
fn salted(password: &[u8], salt: &[u8], iterations: u32) -> [u8; 32] {
    let mut block = mac(password, &[salt, &1_u32.to_be_bytes()].concat());
    let mut all = block;
    for _ in 1..iterations {
        block = mac(password, &block);
        all.iter_mut().zip(block).for_each(|(all, one)| *all ^= one);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7677, section 3.
    #[test]
    fn the_example_of_the_standard_signs_in() {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let key = salted(b"pencil", &salt, 4096);
        let verifier = Verifier {
            iterations: 4096,
            salt,
            stored_key: Sha256::digest(mac(&key, b"Client Key")).into(),
            server_key: mac(&key, b"Server Key"),
        };
        assert_eq!(Verifier::parse(&verifier.to_string()), Some(verifier.clone()));
        let (exchange, answer) =
            Exchange::begin(verifier, b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO", "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0")
                .unwrap();
        assert_eq!(
            answer,
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
        );
        let last = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=";
        let right = format!("{last}dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
        assert_eq!(exchange.end(right.as_bytes()).unwrap(), "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        let wrong = format!("{last}eHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
        assert!(matches!(exchange.end(wrong.as_bytes()), Err(ScramError::Wrong)));
        for garbage in ["", "c=biws", "c=biws,r=x,p=AA==", "c=eSws,r=x,p="] {
            assert!(matches!(exchange.end(garbage.as_bytes()), Err(ScramError::Message)), "{garbage}");
        }
    }

    #[test]
    fn a_password_is_proved_and_another_is_not() {
        let verifier = Verifier::of("correct horse", vec![1; 16]);
        assert!(
            verifier.proves("correct horse") && !verifier.proves("correct horsf") && !verifier.proves("")
        );
        assert!(!Verifier::of_nobody("ada", &[7; 32]).proves("correct horse"));
        for garbage in [
            "",
            "SCRAM-SHA-256$",
            "SCRAM-SHA-256$0:AA==$AA==:AA==",
            "md5abc",
            "SCRAM-SHA-256$9999999:AA==$x:y",
        ] {
            assert_eq!(Verifier::parse(garbage), None, "{garbage}");
        }
    }
}
