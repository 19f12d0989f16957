// Verifies a request's signature (SigV4) by AWS's own signer, from what really came: the raw target and the raw headers.
const { createHash } = require("node:crypto");
const { SignatureV4 } = require("@smithy/signature-v4");
const { Sha256 } = require("@aws-crypto/sha256-js");
const { Failure } = require("./answer.js");

const SERVICE = "bedrock-agentcore";
const SKEW_MS = 5 * 60 * 1000;
const FORM =
  /^AWS4-HMAC-SHA256 Credential=([^/,\s]+)\/(\d{8})\/([^/,\s]+)\/([^/,\s]+)\/aws4_request, ?SignedHeaders=([^,\s]+), ?Signature=([0-9a-f]{64})$/;

const refuse = (name, message) => {
  throw new Failure(name, message);
};

// "20150830T123600Z" as a Date
function dateOf(text) {
  const parts = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(text || "");
  if (!parts) refuse("IncompleteSignatureException", `x-amz-date ${JSON.stringify(text)} is no date`);
  const [, year, month, day, hour, minute, second] = parts.map(Number);
  return new Date(Date.UTC(year, month - 1, day, hour, minute, second));
}

// What must be signed where it is sent; x-amzn-trace-id, which proxies change, must not, and the signer sees to that.
const SIGNED = ["host", "content-type", "traceparent", "x-amzn-code-interpreter-session-id"];
const mustBeSigned = (name) => SIGNED.includes(name) || name.startsWith("x-amz-");

function queryOf(raw) {
  const query = {};
  for (const pair of raw ? raw.split("&") : []) {
    const [name, value] = [pair.split("=", 1)[0], pair.slice(pair.indexOf("=") + 1)].map(decodeURIComponent);
    query[name] = name in query ? [query[name], value].flat() : value;
  }
  return query;
}

// Throws a Failure unless the request is by keys: {ID: {secret, token or null, expired}}.
async function verify({ method, path, query, headers, body }, { keys, region, now }) {
  const given = headers.authorization;
  if (!given) refuse("MissingAuthenticationTokenException", "Missing Authentication Token");
  const form = FORM.exec(given);
  if (!form) refuse("IncompleteSignatureException", "Authorization is not in the form of AWS4-HMAC-SHA256");
  const [, id, , scopeRegion, scopeService, list] = form;
  const signingDate = dateOf(headers["x-amz-date"]);
  const key = Object.hasOwn(keys, id)
    ? keys[id]
    : refuse("UnrecognizedClientException", "The security token is invalid.");
  if (key.expired) refuse("ExpiredTokenException", "The security token included in the request is expired");
  if ((headers["x-amz-security-token"] ?? null) !== key.token)
    refuse("UnrecognizedClientException", "The security token is invalid.");
  if (scopeRegion !== region || scopeService !== SERVICE)
    refuse("InvalidSignatureException", `Credential should be scoped to ${region}/${SERVICE}`);
  if (Math.abs(signingDate - now) > SKEW_MS)
    refuse("InvalidSignatureException", `Signature expired: it is ${now.toISOString()}`);

  const signed = list.split(";");
  const missing = Object.keys(headers).filter((name) => mustBeSigned(name) && !signed.includes(name));
  if (missing.length) refuse("InvalidSignatureException", `not signed: ${missing}`);
  const sum = headers["x-amz-content-sha256"];
  if (sum !== undefined && sum !== createHash("sha256").update(body).digest("hex"))
    refuse("InvalidSignatureException", "x-amz-content-sha256 is not the body's");

  const signer = new SignatureV4({
    service: SERVICE,
    region,
    sha256: Sha256,
    applyChecksum: false,
    credentials: { accessKeyId: id, secretAccessKey: key.secret, sessionToken: key.token ?? undefined },
  });
  const again = await signer.sign(
    {
      method,
      path,
      query: queryOf(query),
      body,
      headers: Object.fromEntries(
        signed.map((name) => [name, headers[name]]).filter(([, value]) => value !== undefined),
      ),
    },
    { signingDate },
  );
  if (again.headers.authorization.replaceAll(", ", ",") !== given.replaceAll(", ", ","))
    refuse(
      "InvalidSignatureException",
      "The request signature we calculated does not match the signature you provided.",
    );
}

module.exports = { verify };
