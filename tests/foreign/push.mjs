// An administrator reads the trust list, has a signing request made and changes the certificate; another user may not.
import { readFileSync } from "node:fs";
import { OPCUACertificateManager } from "node-opcua-certificate-manager";
import { DataType, MessageSecurityMode, OPCUAClient, resolveNodeId, SecurityPolicy, UserTokenType, Variant, VariantArrayType } from "node-opcua-client";

const [endpoint, file, scratch] = process.argv.slice(2);
const plan = JSON.parse(readFileSync(file, "utf8"));
const manager = new OPCUACertificateManager({ rootFolder: scratch, automaticallyAcceptUnknownCertificate: true });
await manager.initialize();

const TRUST_LIST = "i=12642", CONFIGURATION = "i=12637";
const [OPEN, READ, CLOSE, REQUEST, UPDATE, APPLY] = [12647, 12652, 12650, 12737, 13737, 12740].map((k) => `i=${k}`);
const of = (dataType) => (value) => new Variant({ dataType, value });
const [byte, u32, i32, id, text, bytes, bool] = [
  DataType.Byte, DataType.UInt32, DataType.Int32, DataType.NodeId, DataType.String, DataType.ByteString, DataType.Boolean,
].map(of);

const client = OPCUAClient.create({
  endpointMustExist: false,
  securityPolicy: SecurityPolicy.Basic256Sha256,
  securityMode: MessageSecurityMode.SignAndEncrypt,
  serverCertificate: readFileSync(plan.serverCertificate),
  certificateFile: plan.certificate,
  privateKeyFile: plan.key,
  clientCertificateManager: manager,
  connectionStrategy: { maxRetry: 0, initialDelay: 50 },
  transportTimeout: 60000,
});
const none = id(resolveNodeId("i=0"));
client._getApplicationUri = () => plan.uri;
await client.connect(endpoint);
const session = await client.createSession({ type: UserTokenType.UserName, userName: plan.user, password: plan.password });
const found = { codes: [] };
async function call(objectId, methodId, ...inputArguments) {
  const result = await session.call({ objectId, methodId, inputArguments });
  found.codes.push(result.statusCode.name);
  return (result.outputArguments ?? []).map((one) => one.value);
}

const [handle] = await call(TRUST_LIST, OPEN, byte(1));
if (handle !== undefined) {
  const [list] = await call(TRUST_LIST, READ, u32(handle), i32(100000));
  found.list = list.toString("hex");
  await call(TRUST_LIST, CLOSE, u32(handle));
  const [request] = await call(CONFIGURATION, REQUEST, none, none, text(null), bool(false), bytes(Buffer.alloc(0)));
  found.request = request?.toString("hex");
  const issuers = new Variant({ dataType: DataType.ByteString, arrayType: VariantArrayType.Array, value: [] });
  const update = (certificate) =>
    call(CONFIGURATION, UPDATE, none, none, bytes(certificate), issuers, text(null), bytes(null));
  await update(readFileSync(plan.foreign));
  [found.apply] = await update(readFileSync(plan.renewed));
  await call(CONFIGURATION, APPLY);
}
// ApplyChanges may end the channel, so there is nobody to say goodbye to.
await manager.dispose();
console.log(JSON.stringify(found));
process.exit(0);
