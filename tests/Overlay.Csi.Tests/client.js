// Takes a volume through its life with grpc-js; prints one line of JSON an answer. Arguments: socket, csi.proto, folder of node_modules.
const path = require('path');
const [socket, proto, modules] = process.argv.slice(2);
const load = name => require(require.resolve(name, { paths: [modules] }));
const grpc = load('@grpc/grpc-js');
const includeDirs = [path.dirname(path.resolve(proto)), path.dirname(require.resolve('protobufjs/package.json', { paths: [modules] }))];
const definition = load('@grpc/proto-loader').loadSync(path.basename(proto), { keepCase: true, longs: String, enums: String, includeDirs });
const { Identity, Controller, Node } = grpc.loadPackageDefinition(definition).csi.v1;
const credentials = grpc.credentials.createInsecure();
const [identity, controller, node] = [Identity, Controller, Node].map(Service => new Service(`unix:${socket}`, credentials));
const call = (client, method, request) => new Promise(resolve => client[method](request, { deadline: Date.now() + 30000 }, (error, response) => {
  console.log(JSON.stringify({ method, code: error ? error.code : 0, response: response ?? error.details }));
  resolve(response);
}));

async function main() {
  await call(identity, 'GetPluginInfo', {});
  await call(identity, 'Probe', {});
  await call(node, 'NodeGetInfo', {});
  const created = await call(controller, 'CreateVolume', {
    name: 'claim-js',
    capacity_range: { required_bytes: 20 << 20 },
    volume_capabilities: [{ mount: { fs_type: 'ext4' }, access_mode: { mode: 'SINGLE_NODE_WRITER' } }],
  });
  await call(controller, 'DeleteVolume', { volume_id: created.volume.volume_id });
  await call(controller, 'CreateVolume', { name: 'claim-js' });
}

main().then(() => [identity, controller, node].forEach(client => client.close()));
