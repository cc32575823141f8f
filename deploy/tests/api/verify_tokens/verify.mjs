// The same as verify.py, with Node's jose: node verify.mjs DIRECTORY ALGORITHM JWKS_URL ISSUER AUDIENCE TOKEN.
// DIRECTORY is where jose is installed.

import { createRequire } from "node:module";

const [directory, algorithm, jwksUrl, issuer, audience, token] = process.argv.slice(2);
const { createRemoteJWKSet, jwtVerify } = createRequire(import.meta.url)(directory);
const { version } = createRequire(import.meta.url)(`${directory}/package.json`);

const verify = (token) =>
    jwtVerify(token, createRemoteJWKSet(new URL(jwksUrl)), { algorithms: [algorithm], issuer, audience });

async function result() {
    const [signed, signature] = [token.slice(0, token.lastIndexOf(".")), token.split(".")[2]];
    const changed = `${signed}.${signature[0] === "A" ? "B" : "A"}${signature.slice(1)}`;
    try {
        const { payload } = await verify(token);
        if (payload.sub !== payload.user_id) return "no";
    } catch (error) {
        console.error(`jose: ${error}`);
        return "no";
    }
    return verify(changed).then(() => "verifies changed tokens", () => "verified");
}

console.log(["jose", version.split(".")[0], await result()].join("\t"));
