// What every script of this folder shares: a session with one server, given as the first argument.
import { MessageSecurityMode, OPCUAClient, SecurityPolicy } from "node-opcua-client";

export const [endpoint, ...args] = process.argv.slice(2);

export async function withSession(work, options = {}) {
  const client = OPCUAClient.create({
    endpointMustExist: false,
    securityMode: MessageSecurityMode.None,
    securityPolicy: SecurityPolicy.None,
    connectionStrategy: { maxRetry: 1, initialDelay: 100 },
    ...options,
  });
  await client.connect(endpoint);
  const session = await client.createSession();
  try {
    const result = await work(session, client);
    console.log(JSON.stringify(result));
  } finally {
    await session.close();
    await client.disconnect();
  }
}
