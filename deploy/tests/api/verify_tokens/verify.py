"""Verifies an access token by the published keys, with each library: verify.py ALGORITHM JWKS_URL ISSUER AUDIENCE TOKEN.

Prints a line for each: library, version, and whether it verifies the token and refuses a changed one, separated by tabs.
"""

import base64
import importlib.metadata
import json
import secrets
import sys
import urllib.request

algorithm, jwks_url, issuer, audience, access_token = sys.argv[1:]


def jwks():
    with urllib.request.urlopen(jwks_url) as response:
        return json.load(response)


def pyjwt(token):
    import jwt

    key = jwt.PyJWKClient(jwks_url).get_signing_key_from_jwt(token)
    return jwt.decode(token, key, algorithms=[algorithm], issuer=issuer, audience=audience)


def simplejwt(token):
    import django
    from django.conf import settings

    if not settings.configured:
        settings.configure(
            SECRET_KEY=secrets.token_hex(),
            INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "rest_framework_simplejwt"],
            SIMPLE_JWT={
                "ALGORITHM": algorithm,
                "JWK_URL": jwks_url,
                "ISSUER": issuer,
                "AUDIENCE": audience,
                "USER_ID_CLAIM": "user_id",
            },
        )
        django.setup()
    from rest_framework_simplejwt.tokens import AccessToken

    return AccessToken(token).payload


def python_jose(token):
    from jose import jwt

    # By `kid`: of a whole set it tries each key, and fails at the first one of another algorithm.
    kid = jwt.get_unverified_header(token)["kid"]
    key = next(key for key in jwks()["keys"] if key["kid"] == kid)
    return jwt.decode(token, key, algorithms=[algorithm], issuer=issuer, audience=audience)


def authlib(token):
    from authlib.jose import JsonWebKey, JsonWebToken

    options = {"iss": {"value": issuer}, "aud": {"value": audience}}
    claims = JsonWebToken([algorithm]).decode(token, JsonWebKey.import_key_set(jwks()), claims_options=options)
    claims.validate()
    return claims


def result(verify):
    user_id = json.loads(base64.urlsafe_b64decode(access_token.split(".")[1] + "=="))["user_id"]
    signed, signature = access_token.rsplit(".", 1)
    changed = f"{signed}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"
    try:
        claims = verify(access_token)
    except Exception as error:
        print(f"{verify.__name__}: {error!r}", file=sys.stderr)
        return "no"
    assert claims["sub"] == claims["user_id"] == user_id, claims
    try:
        verify(changed)
    except Exception:
        return "verified"
    return "verifies changed tokens"


for name, verify in [
    ("PyJWT", pyjwt),
    ("djangorestframework-simplejwt", simplejwt),
    ("python-jose", python_jose),
    ("authlib", authlib),
]:
    print(name, importlib.metadata.version(name), result(verify), sep="\t")
