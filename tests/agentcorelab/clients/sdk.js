// AWS's JavaScript client: steps in, answers out, as JSON. See sdk.py, which does the same.
const { readFileSync } = require("node:fs");
const sdk = require("@aws-sdk/client-bedrock-agentcore");

const { endpoint, steps } = JSON.parse(readFileSync(0));
const options = { endpoint, maxAttempts: 1, region: process.env.AWS_REGION };

// Bytes as base64, as on the wire.
const encoded = (_name, value) =>
  value?.type === "Buffer" ? Buffer.from(value.data).toString("base64") : value instanceof Uint8Array ? Buffer.from(value).toString("base64") : value;

const filled = (value, known) =>
  typeof value === "string" && value.startsWith("$")
    ? known[value.slice(1)]
    : value?.base64 !== undefined
      ? Buffer.from(value.base64, "base64")
      : Array.isArray(value)
        ? value.map((one) => filled(one, known))
        : value && typeof value === "object"
          ? Object.fromEntries(Object.entries(value).map(([name, one]) => [name, filled(one, known)]))
          : value;

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
