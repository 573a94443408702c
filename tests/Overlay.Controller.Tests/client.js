// Administers and registers with grpc-js; prints one line of JSON an answer.
// Arguments: controller's socket, host:port, folder of certificates, control.proto, folder of node_modules.
const fs = require('fs');
const path = require('path');
const [socket, host, certificates, proto, modules] = process.argv.slice(2);
const load = name => require(require.resolve(name, { paths: [modules] }));
const grpc = load('@grpc/grpc-js');
const definition = load('@grpc/proto-loader').loadSync(path.resolve(proto), { keepCase: true, longs: String });
const { Administration, Nodes } = grpc.loadPackageDefinition(definition).overlay.control.v1;
const read = name => fs.readFileSync(path.join(certificates, name));
const credentials = grpc.credentials.createSsl(read('ca.pem'), read('js.key'), read('js.pem'));
const administration = new Administration(`unix:${socket}`, grpc.credentials.createInsecure());
const nodes = new Nodes(host, credentials);
const print = (method, error, response) => console.log(JSON.stringify({ method, code: error ? error.code : 0, response: error ? error.details : response }));
const call = (client, method, request) => new Promise(resolve => client[method](request, { deadline: Date.now() + 30000 }, (error, response) => {
  print(method, error, response);
  resolve(response);
}));

function watch() {
  return new Promise(resolve => {
    const stream = nodes.Watch({ node: 'js', after: 0 }, { deadline: Date.now() + 30000 });
    stream.on('data', response => {
      print('Watch', null, { reset: response.reset, keys: response.changes.map(change => change.key).sort() });
      stream.cancel();
    });
    stream.on('error', () => resolve());
  });
}

async function main() {
  await call(administration, 'CreateNetwork', { network: { name: 'pods', vni: 42, pools: [{ prefix: '10.244.0.0/16' }] } });
  await call(administration, 'CreateNetwork', { network: { name: 'other', vni: 42, pools: [{ prefix: '10.245.0.0/16' }] } });
  const registered = await call(nodes, 'Register', {
    node: 'js', machine: 'm', attempt: 'a', mac: '02:00:00:00:00:01', underlay: ['192.0.2.1'], labels: { rack: 'r7' },
  });
  await call(nodes, 'AcquireBlock', { node: 'js', network: 'pods', generation: registered.generation });
  await watch();
  await call(nodes, 'Register', { node: 'other' });
}

main().then(() => [administration, nodes].forEach(client => client.close()));
