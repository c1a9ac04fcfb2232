// Makes the calls in a JSON file one after the other and tells the name of each StatusCode.
import { readFileSync } from "node:fs";
import { DataType, LocalizedText, Variant } from "node-opcua-client";
import { withSession, args } from "./client.mjs";

function argument([type, value]) {
  if (type === "ByteString") value = Buffer.from(value, "hex");
  if (type === "LocalizedText") value = new LocalizedText({ text: value, locale: "en" });
  return new Variant({ dataType: DataType[type], value });
}

await withSession(async (session) => {
  const results = [];
  for (const [objectId, methodId, ...inputs] of JSON.parse(readFileSync(args[0], "utf8"))) {
    const result = await session.call({ objectId, methodId, inputArguments: inputs.map(argument) });
    results.push(result.statusCode.name);
  }
  return { results };
});
