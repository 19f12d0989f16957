// AWS's JavaScript client: steps in, answers out, as JSON. See sdk.py, which does the same.
const { readFileSync } = require("node:fs");
const sdk = require("@aws-sdk/client-bedrock-agentcore");

const { endpoint, steps } = JSON.parse(readFileSync(0));
const options = { endpoint, maxAttempts: 1, region: process.env.AWS_REGION };

// Bytes as base64, as on the wire.
function encoded(_name, value) {
  const bytes = value?.type === "Buffer" ? value.data : value;
  return value?.type === "Buffer" || bytes instanceof Uint8Array ? Buffer.from(bytes).toString("base64") : value;
}

function filled(value, known) {
  if (typeof value === "string") return value.startsWith("$") ? known[value.slice(1)] : value;
  if (Array.isArray(value)) return value.map((one) => filled(one, known));
  if (value === null || typeof value !== "object") return value;
  if ("base64" in value) return Buffer.from(value.base64, "base64");
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, filled(one, known)]));
}

async function run(client, operation, input) {
  const { stream, $metadata, ...answer } = await client.send(new sdk[`${operation}Command`](input));
  const results = [];
  if (stream) for await (const event of stream) if (event.result) results.push(event.result);
  return stream ? { ...answer, results } : answer;
}

async function main() {
  const client = new sdk.BedrockAgentCoreClient(options);
  const known = {};
  const answers = [];
  for (const [operation, input] of steps) {
    try {
      const answer = await run(client, operation, filled(input, known));
      Object.assign(known, answer, answer.results?.at(-1)?.structuredContent);
      answers.push(answer);
    } catch (error) {
      answers.push({ error: error.name, message: error.message, reason: error.reason });
    }
  }
  console.log(JSON.stringify(answers, encoded));
  client.destroy();
}

main();
