"""Tokens that joserfc signs with fresh keys: those that an issuer would, and those that nobody may be let in by.

Argument: the claims as JSON. Prints JSON: keys (the published set), good and bad (tokens by a name).
"""
import json
import sys

from joserfc import jws
from joserfc.jwk import ECKey, OctKey, RSAKey

claims = sys.argv[1].encode()
rsa, pss, short = (RSAKey.generate_key(bits, {"kid": name}) for bits, name in ((2048, "rsa"), (3072, "pss"), (1024, "short")))
ec = ECKey.generate_key("P-256", {"kid": "ec"})
public = [rsa.as_dict(private=False), pss.as_dict(private=False) | {"alg": "PS256"}, short.as_dict(private=False), ec.as_dict(private=False) | {"use": "sig", "alg": "ES256"}]


def sign(algorithm, key, **header):
    return jws.serialize_compact({"alg": algorithm, "typ": "JWT"} | header, claims, key, algorithms=[algorithm])


# joserfc takes no PEM of a public key for a secret; the rest of the attack is the same.
published = OctKey.import_key(rsa.as_dict(private=False)["n"])
print(json.dumps({
    "keys": {"keys": public},
    "good": {
        "RS256": sign("RS256", rsa, kid="rsa"),
        "PS256": sign("PS256", pss, kid="pss"),
        "PS256 by a key for any": sign("PS256", rsa, kid="rsa"),
        "ES256": sign("ES256", ec, kid="ec"),
    },
    "bad": {
        "RS256 by a key for PS256": sign("RS256", pss, kid="pss"),
        "RS512": sign("RS512", rsa, kid="rsa"),
        "HS256 by what is published": sign("HS256", published, kid="rsa"),
        "another's key": sign("RS256", pss, kid="rsa"),
        "no key named, several fit": sign("RS256", rsa),
        "a short key": sign("RS256", short, kid="short"),
    },
}))
