// Takes a volume through its life with grpc-js; prints one line of JSON an answer. Arguments: socket, csi.proto, folder of node_modules,
// folder of the paths to mount at.
const path = require('path');
const [socket, proto, modules, folder] = process.argv.slice(2);
const load = name => require(require.resolve(name, { paths: [modules] }));
const grpc = load('@grpc/grpc-js');
const includeDirs = [path.dirname(path.resolve(proto)), path.dirname(require.resolve('protobufjs/package.json', { paths: [modules] }))];
const definition = load('@grpc/proto-loader').loadSync(path.basename(proto), { keepCase: true, longs: String, enums: String, includeDirs });
const { Identity, Controller, Node } = grpc.loadPackageDefinition(definition).csi.v1;
const credentials = grpc.credentials.createInsecure();
const [identity, controller, node] = [Identity, Controller, Node].map(Service => new Service(`unix:${socket}`, credentials));
const call = (client, method, request) => new Promise(resolve => client[method](request, { deadline: Date.now() + 60000 }, (error, response) => {
  console.log(JSON.stringify({ method, code: error ? error.code : 0, response: response ?? error.details }));
  resolve(response);
}));

async function main() {
  const volume_capability = { mount: { fs_type: 'ext4' }, access_mode: { mode: 'SINGLE_NODE_WRITER' } };
  const claim = { capacity_range: { required_bytes: 20 << 20 }, volume_capabilities: [volume_capability] };
  await call(identity, 'GetPluginInfo', {});
  await call(identity, 'Probe', {});
  await call(node, 'NodeGetInfo', {});
  const { volume: { volume_id } } = await call(controller, 'CreateVolume', { name: 'claim-js', ...claim });
  const [staging_target_path, target_path] = [`${folder}/js/staging`, `${folder}/js/target`];
  await call(node, 'NodeStageVolume', { volume_id, staging_target_path, volume_capability });
  await call(node, 'NodePublishVolume', { volume_id, staging_target_path, target_path, volume_capability });
  await call(node, 'NodeGetVolumeStats', { volume_id, volume_path: target_path });
  const { snapshot: { snapshot_id } } = await call(controller, 'CreateSnapshot', { name: 'snap-js', source_volume_id: volume_id });
  await call(controller, 'ControllerExpandVolume', { volume_id, capacity_range: { required_bytes: 24 << 20 } });
  await call(node, 'NodeUnpublishVolume', { volume_id, target_path });
  await call(node, 'NodeUnstageVolume', { volume_id, staging_target_path });
  const copy = await call(controller, 'CreateVolume', { name: 'copy-js', ...claim, volume_content_source: { snapshot: { snapshot_id } } });
  await call(controller, 'ListVolumes', {});
  await call(controller, 'ListSnapshots', {});
  await call(controller, 'DeleteVolume', { volume_id: copy.volume.volume_id });
  await call(controller, 'DeleteSnapshot', { snapshot_id });
  await call(controller, 'DeleteVolume', { volume_id });
  await call(controller, 'CreateVolume', { name: 'claim-js' });
  await call(node, 'NodeStageVolume', { volume_id, staging_target_path, volume_capability });
}

main().then(() => [identity, controller, node].forEach(client => client.close()));
