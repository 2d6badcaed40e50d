"""Authlib, unmodified, as a client of the broker: exchange (RFC 8693) and revocation (RFC 7009) with one authentication method.

Reads what it needs from the JSON file that it is given, and prints one line for each check, `ok NAME` or `failed NAME: why`.
The library accepts more than the specifications allow; what it would let pass is checked here.
"""

import json
import sys

import requests
from authlib.integrations.requests_client import OAuth2Session, OAuthError
from authlib.oauth2.auth import encode_none
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
from joserfc.jwk import ECKey

TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
JWT = "urn:ietf:params:oauth:token-type:jwt"

with open(sys.argv[1], encoding="utf-8") as file:
    SETTINGS = json.load(file)

METHOD = SETTINGS["method"]
METADATA = {}
CHECKS = []


def check(function):
    """Adds a function to what is run, in the order in which they stand here."""
    CHECKS.append(function)
    return function


def same(found, expected, what):
    assert found == expected, f"{what}: {found!r} instead of {expected!r}"


def session(right=True):
    """A session of the client; not `right`: of somebody who has its id and not what proves it."""
    client_id = SETTINGS["client_id"]
    if METHOD == "none" and not right:
        client_id = "stranger"
    secret = SETTINGS.get("client_secret")
    if secret is not None and not right:
        secret += "x"
    if METHOD == "private_key_jwt":
        with open(SETTINGS["key_file"], "rb") as key_file:
            secret = ECKey.import_key(key_file.read()) if right else ECKey.generate_key("P-256")
    it = OAuth2Session(
        client_id,
        secret,
        token_endpoint_auth_method=METHOD,
        revocation_endpoint_auth_method=METHOD,
        default_timeout=30,
    )
    if METHOD == "private_key_jwt":
        it.register_client_auth_method(PrivateKeyJWT(alg="ES256"))
    if METHOD == "tls_client_auth":
        # The library leaves certificates to its HTTP session; the id goes into the body (RFC 8705 section 2).
        it.register_client_auth_method((METHOD, encode_none))
        if right:
            it.cert = (SETTINGS["certificate_file"], SETTINGS["key_file"])
    it.verify = SETTINGS["ca_file"]
    it.trust_env = False
    it.responses = []
    it.register_compliance_hook("access_token_response", lambda response: it.responses.append(response) or response)
    return it


def exchange(it, **changes):
    parameters = {
        "grant_type": TOKEN_EXCHANGE,
        "subject_token": SETTINGS["subject_token"],
        "subject_token_type": ACCESS_TOKEN,
        "audience": SETTINGS["audience"],
        **changes,
    }
    parameters = {name: value for name, value in parameters.items() if value is not None}
    return it.fetch_token(METADATA["token_endpoint"], **parameters)


def revoke(it, token, **hint):
    return it.revoke_token(METADATA["revocation_endpoint"], token=token, **hint)


def check_headers(response):
    """RFC 6749 sections 5.1 and 5.2: JSON, and nobody keeps it."""
    media_type = response.headers["Content-Type"].split(";")[0].strip().lower()
    same(media_type, "application/json", "Content-Type")
    directives = [directive.strip().lower() for directive in response.headers["Cache-Control"].split(",")]
    assert "no-store" in directives, f"Cache-Control: {directives}"
    same(response.headers["Pragma"].lower(), "no-cache", "Pragma")


def check_error(response, status, error):
    """RFC 6749 section 5.2."""
    same((response.status_code, response.json()["error"]), (status, error), "status and error")
    check_headers(response)
    body = response.json()
    assert set(body) <= {"error", "error_description", "error_uri"}, f"members: {sorted(body)}"
    for name in ("error", "error_description"):
        allowed = all(" " <= letter <= "~" and letter not in '"\\' for letter in body.get(name, ""))
        assert allowed, f"{name} has letters that it must not have: {body[name]!r}"
    if status == 401:
        scheme = response.headers["WWW-Authenticate"].split()[0].lower()
        same(scheme, "basic", "WWW-Authenticate")


def refused(status, error, it, **changes):
    try:
        exchange(it, **changes)
    except OAuthError as refusal:
        same(refusal.error, error, "the library's error")
        return check_error(it.responses[-1], status, error)
    raise AssertionError(f"not refused: {error}")


def revoked(response):
    """RFC 7009 section 2.2: 200, and what the body says does not matter."""
    same(response.status_code, 200, "status")


@check
def metadata():
    url = SETTINGS["issuer"] + "/.well-known/oauth-authorization-server"
    response = requests.get(url, verify=SETTINGS["ca_file"], timeout=30)
    same(response.status_code, 200, "status")
    same(response.headers["Content-Type"].split(";")[0], "application/json", "Content-Type")
    METADATA.update(response.json())
    AuthorizationServerMetadata(METADATA).validate()
    same(METADATA["issuer"], SETTINGS["issuer"], "issuer")
    assert TOKEN_EXCHANGE in METADATA["grant_types_supported"]
    for endpoint in ("token", "revocation"):
        assert METHOD in METADATA[f"{endpoint}_endpoint_auth_methods_supported"], endpoint


@check
def exchange_succeeds():
    it = session()
    token = exchange(it)
    check_headers(it.responses[-1])
    same(token["issued_token_type"], ACCESS_TOKEN, "issued_token_type")
    same(token["token_type"], "Bearer", "token_type")
    same(token["scope"], SETTINGS["scope"], "scope")
    assert isinstance(token["expires_in"], int) and token["expires_in"] > 0, token["expires_in"]
    same(it.token.is_expired(leeway=0), False, "expired")
    assert "refresh_token" not in token and "id_token" not in token
    same(exchange(session(), scope=SETTINGS["scope"])["access_token"], token["access_token"], "the kept token")


@check
def a_security_token_is_no_access_token():
    token = exchange(session(), requested_token_type=JWT)
    same((token["issued_token_type"], token["token_type"]), (JWT, "N_A"), "types (RFC 8693 section 2.2.1)")


@check
def refusals_have_their_form():
    it = session()
    refused(400, "invalid_target", it, audience="nowhere.example")
    refused(400, "invalid_scope", it, scope="everything")
    refused(400, "invalid_request", it, subject_token="no.home.token")
    refused(400, "invalid_request", it, subject_token_type=None)
    refused(400, "unsupported_grant_type", it, grant_type="client_credentials")


@check
def wrong_credentials_are_refused():
    refused(401, "invalid_client", session(right=False))
    check_error(revoke(session(right=False), SETTINGS["subject_token"]), 401, "invalid_client")


@check
def a_partner_token_is_revoked():
    it = session()
    token = exchange(it)["access_token"]
    revoked(revoke(it, token, token_type_hint="access_token"))
    assert exchange(it)["access_token"] != token, "the revoked token was served again"
    revoked(revoke(it, token))


@check
def what_nobody_knows_is_revoked_already():
    revoked(revoke(session(), "unknown", token_type_hint="refresh_token"))
    revoked(revoke(session(), "unknown", token_type_hint="of_another_kind"))


@check
def a_home_token_is_revoked():
    it = session()
    revoked(revoke(it, SETTINGS["subject_token"]))
    refused(400, "invalid_request", it)
    revoked(revoke(it, SETTINGS["subject_token"]))


def main():
    failed = False
    for function in CHECKS:
        try:
            function()
            print(f"ok {function.__name__}")
        except Exception as error:  # whatever it is, it is the outcome of this check
            failed = True
            print(f"failed {function.__name__}: {type(error).__name__}: {error}")
    sys.exit(failed)


main()
