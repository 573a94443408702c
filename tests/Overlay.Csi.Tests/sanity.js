// What each call of CSI owes whoever calls it, asked by grpc-js: codes for what is missing, absent or different, and the same answer to the
// same question. Prints a line of JSON a case: what was expected and what came. Arguments: socket, csi.proto, folder of node_modules, folder of
// the paths to mount at.
const path = require('path');
const [socket, proto, modules, folder] = process.argv.slice(2);
const load = name => require(require.resolve(name, { paths: [modules] }));
const grpc = load('@grpc/grpc-js');
const includeDirs = [path.dirname(path.resolve(proto)), path.dirname(require.resolve('protobufjs/package.json', { paths: [modules] }))];
const definition = load('@grpc/proto-loader').loadSync(path.basename(proto), { keepCase: true, longs: Number, enums: String, defaults: true, includeDirs });
const services = grpc.loadPackageDefinition(definition).csi.v1;
const credentials = grpc.credentials.createInsecure();
const clients = Object.fromEntries(['Identity', 'Controller', 'Node'].map(name => [name, new services[name](`unix:${socket}`, credentials)]));
const serviceOf = method => Object.keys(clients).find(name => method in services[name].service);
const { OK, INVALID_ARGUMENT, NOT_FOUND, ALREADY_EXISTS, FAILED_PRECONDITION, ABORTED, OUT_OF_RANGE, RESOURCE_EXHAUSTED, UNIMPLEMENTED } = grpc.status;
const MiB = 1 << 20;

const report = (name, expected, actual, details) => console.log(JSON.stringify({ name, expected, actual, details }));

function call(method, request) {
  return new Promise(resolve => clients[serviceOf(method)][method](request, { deadline: Date.now() + 60000 }, (error, response, trailers) =>
    resolve({ code: error ? error.code : OK, details: error?.details, response, metadata: error?.metadata })));
}

// Calls and expects a code; resolves to the response.
async function owes(code, method, request, why) {
  const { code: actual, details, response, metadata } = await call(method, request);
  report(`${method}: ${why}`, code, actual, details);
  if (metadata?.get('grpc-status-details-bin').length) report(`${method}: ${why}: no status details`, 0, 1);
  return response;
}

const same = (name, expected, actual) => report(name, JSON.stringify(expected), JSON.stringify(actual));

// A method that the driver's own protos do not name.
function unknown(service, method) {
  const pass = value => value;
  return new Promise(resolve => clients.Identity.makeUnaryRequest(`/csi.v1.${service}/${method}`, pass, pass, Buffer.alloc(0), { deadline: Date.now() + 60000 }, error => {
    report(`${service}/${method}: is not offered`, UNIMPLEMENTED, error ? error.code : OK, error?.details);
    resolve();
  }));
}

const mode = name => ({ mode: name });
const writer = { mount: { fs_type: 'ext4' }, access_mode: mode('SINGLE_NODE_WRITER') };
const claim = (name, more = {}) => ({ name, volume_capabilities: [writer], capacity_range: { required_bytes: 32 * MiB }, ...more });
const fromSnapshot = id => ({ volume_content_source: { snapshot: { snapshot_id: id } } });
const fromVolume = id => ({ volume_content_source: { volume: { volume_id: id } } });

async function create(name, more) {
  return (await owes(OK, 'CreateVolume', claim(name, more), `${JSON.stringify(name).slice(0, 40)} can be made`)).volume;
}

async function remove(...volumes) {
  for (const volume of volumes) await owes(OK, 'DeleteVolume', { volume_id: volume.volume_id }, 'a volume that nobody uses');
}

async function identity() {
  const info = await owes(OK, 'GetPluginInfo', {}, 'name and version');
  same('GetPluginInfo: the name is one of a domain', true, /^[A-Za-z][A-Za-z0-9.-]{0,61}[A-Za-z]$/.test(info.name) && info.vendor_version.length > 0);
  const { capabilities } = await owes(OK, 'GetPluginCapabilities', {}, 'what there is');
  same('GetPluginCapabilities: controller, topology and growth in use', ['CONTROLLER_SERVICE', 'VOLUME_ACCESSIBILITY_CONSTRAINTS', 'ONLINE'],
    capabilities.map(one => one.service?.type ?? one.volume_expansion?.type));
  same('Probe: is ready', { value: true }, (await owes(OK, 'Probe', {}, 'answers')).ready);
  for (const method of ['ControllerPublishVolume', 'ControllerUnpublishVolume', 'ControllerGetVolume', 'ControllerModifyVolume', 'GetSnapshot']) await unknown('Controller', method);
  await unknown('GroupController', 'CreateVolumeGroupSnapshot');
  await unknown('SnapshotMetadata', 'GetMetadataAllocated');
}

async function volumes() {
  await owes(INVALID_ARGUMENT, 'CreateVolume', claim(''), 'no name');
  await owes(INVALID_ARGUMENT, 'CreateVolume', claim('no-capabilities', { volume_capabilities: [] }), 'no capabilities');
  await owes(INVALID_ARGUMENT, 'CreateVolume', claim('no-type', { volume_capabilities: [{ access_mode: mode('SINGLE_NODE_WRITER') }] }), 'no access type');
  await owes(INVALID_ARGUMENT, 'CreateVolume', claim('no-mode', { volume_capabilities: [{ mount: {} }] }), 'no access mode');
  await owes(INVALID_ARGUMENT, 'CreateVolume', claim('two-kinds', { volume_capabilities: [writer, { block: {}, access_mode: mode('SINGLE_NODE_WRITER') }] }), 'mount and block at once');
  await owes(INVALID_ARGUMENT, 'CreateVolume', claim('many', { volume_capabilities: [{ mount: {}, access_mode: mode('MULTI_NODE_MULTI_WRITER') }] }), 'many nodes');
  await owes(INVALID_ARGUMENT, 'CreateVolume', claim('n'.repeat(129)), 'a name of 129 bytes');
  await owes(INVALID_ARGUMENT, 'CreateVolume', claim('é'.repeat(65)), 'a name of 130 bytes in 65 letters');
  await owes(INVALID_ARGUMENT, 'CreateVolume', claim('parameters', { parameters: { unheard: 'of' } }), 'an unknown parameter');
  await owes(INVALID_ARGUMENT, 'CreateVolume', claim('mutable', { mutable_parameters: { any: 'thing' } }), 'mutable parameters');
  await owes(INVALID_ARGUMENT, 'CreateVolume', claim('backwards', { capacity_range: { required_bytes: 64 * MiB, limit_bytes: 32 * MiB } }), 'more required than allowed');
  await owes(INVALID_ARGUMENT, 'CreateVolume', claim('no-source', { volume_content_source: { snapshot: {} } }), 'a source without identifier');
  await owes(OUT_OF_RANGE, 'CreateVolume', claim('small', { capacity_range: { limit_bytes: 4096 } }), 'too small for its file system');
  await owes(RESOURCE_EXHAUSTED, 'CreateVolume', claim('large', { capacity_range: { required_bytes: 2 ** 50 } }), 'more than there is');
  await owes(NOT_FOUND, 'CreateVolume', claim('of-none', fromSnapshot('snap-none')), 'of a snapshot that is not there');
  await owes(NOT_FOUND, 'CreateVolume', claim('of-none', fromVolume('vol-none')), 'of a volume that is not there');
  const usual = await create('no-capacity', { capacity_range: null });
  same('CreateVolume: without a size there is one', true, usual.capacity_bytes > 0);
  const odd = ['n'.repeat(128), 'é'.repeat(64), '../../etc/passwd', 'a/b', '.', '..', '-rf', 'a\nb', '"quoted"', '%s{0}', ' ', '日本語😀'];
  const made = [];
  for (const name of odd) made.push(await create(name));
  same('CreateVolume: each name is a volume of its own', odd.length, new Set(made.map(volume => volume.volume_id)).size);
  same('CreateVolume: identifiers are names of files', true, made.every(volume => /^[a-z0-9-]{1,128}$/.test(volume.volume_id)));
  for (const name of ['a\0b', '\u001b[31mred', 'c1\u0085']) await owes(INVALID_ARGUMENT, 'CreateVolume', claim(name), 'a control character in the name');
  const first = await create('claim'), again = await create('claim');
  same('CreateVolume: twice is once', first, again);
  same('CreateVolume: within a wider range it is the same', first, await create('claim', { capacity_range: { required_bytes: 16 * MiB, limit_bytes: 64 * MiB } }));
  await owes(ALREADY_EXISTS, 'CreateVolume', claim('claim', { capacity_range: { required_bytes: 33 * MiB } }), 'of another size');
  await owes(ALREADY_EXISTS, 'CreateVolume', claim('claim', { volume_capabilities: [{ block: {}, access_mode: mode('SINGLE_NODE_WRITER') }] }), 'of another kind');
  await owes(ALREADY_EXISTS, 'CreateVolume', claim('claim', fromVolume(usual.volume_id)), 'of another source');
  await owes(ALREADY_EXISTS, 'CreateVolume', claim('claim', { parameters: { reservation: 'reserved' } }), 'of other parameters');
  const elsewhere = { accessibility_requirements: { requisite: [{ segments: { 'topology.csi.overlay.local/node': 'elsewhere' } }] } };
  await owes(ALREADY_EXISTS, 'CreateVolume', claim('claim', elsewhere), 'of another topology');
  await owes(RESOURCE_EXHAUSTED, 'CreateVolume', claim('elsewhere', elsewhere), 'on another node');
  const preferred = await create('preferred', { accessibility_requirements: { preferred: [{ segments: { 'topology.csi.overlay.local/node': 'node-a' } }] } });
  same('CreateVolume: tells where it is', [{ segments: { 'topology.csi.overlay.local/node': 'node-a' } }], preferred.accessible_topology);

  await owes(INVALID_ARGUMENT, 'ValidateVolumeCapabilities', { volume_capabilities: [writer] }, 'no volume');
  await owes(INVALID_ARGUMENT, 'ValidateVolumeCapabilities', { volume_id: first.volume_id }, 'no capabilities');
  await owes(NOT_FOUND, 'ValidateVolumeCapabilities', { volume_id: 'vol-none', volume_capabilities: [writer] }, 'a volume that is not there');
  const { confirmed } = await owes(OK, 'ValidateVolumeCapabilities', { volume_id: first.volume_id, volume_capabilities: [writer] }, 'what it was made for');
  same('ValidateVolumeCapabilities: confirms it', 1, confirmed?.volume_capabilities.length);

  await owes(INVALID_ARGUMENT, 'ControllerExpandVolume', { capacity_range: { required_bytes: MiB } }, 'no volume');
  await owes(INVALID_ARGUMENT, 'ControllerExpandVolume', { volume_id: first.volume_id }, 'no size');
  await owes(NOT_FOUND, 'ControllerExpandVolume', { volume_id: 'vol-none', capacity_range: { required_bytes: MiB } }, 'a volume that is not there');
  await owes(OUT_OF_RANGE, 'ControllerExpandVolume', { volume_id: first.volume_id, capacity_range: { limit_bytes: MiB } }, 'smaller');
  await owes(RESOURCE_EXHAUSTED, 'ControllerExpandVolume', { volume_id: first.volume_id, capacity_range: { required_bytes: 2 ** 50 } }, 'more than there is');
  const larger = { volume_id: first.volume_id, capacity_range: { required_bytes: 40 * MiB + 7 } };
  for (const why of ['larger', 'again']) same(`ControllerExpandVolume: ${why}`, 40 * MiB + 7, (await owes(OK, 'ControllerExpandVolume', larger, why)).capacity_bytes);

  await owes(ABORTED, 'ListVolumes', { starting_token: 'invalid-token' }, 'a token of nobody');
  await owes(INVALID_ARGUMENT, 'ListVolumes', { max_entries: -1 }, 'a negative number of entries');
  const all = (await owes(OK, 'ListVolumes', {}, 'all')).entries.map(entry => entry.volume.volume_id);
  same('ListVolumes: lists each', true, [usual, first, preferred, ...made].every(volume => all.includes(volume.volume_id)));
  const page = await owes(OK, 'ListVolumes', { max_entries: 3 }, 'a page');
  await remove({ volume_id: page.entries[2].volume.volume_id });
  const rest = (await owes(OK, 'ListVolumes', { starting_token: page.next_token }, 'a page behind a volume that was deleted meanwhile')).entries;
  same('ListVolumes: nothing is left out or comes twice', all.slice(3), rest.map(entry => entry.volume.volume_id));
  await owes(INVALID_ARGUMENT, 'GetCapacity', { parameters: { unheard: 'of' } }, 'an unknown parameter');
  same('GetCapacity: tells of some', true, (await owes(OK, 'GetCapacity', {}, 'of the pool')).available_capacity > 0);

  await owes(INVALID_ARGUMENT, 'DeleteVolume', {}, 'no volume');
  for (const id of ['vol-none', '../../etc/passwd', 'a\0b', '日本語']) await owes(OK, 'DeleteVolume', { volume_id: id }, `${JSON.stringify(id)} is not there`);
  await remove(usual, first, preferred, ...made, first);
  same('ListVolumes: none is left', [], (await owes(OK, 'ListVolumes', {}, 'none')).entries);
}

async function snapshots() {
  const [source, other] = [await create('source'), await create('other')];
  const snapshot = (name, volume = source) => ({ name, source_volume_id: volume.volume_id });
  await owes(INVALID_ARGUMENT, 'CreateSnapshot', snapshot(''), 'no name');
  await owes(INVALID_ARGUMENT, 'CreateSnapshot', { name: 'snap' }, 'no volume');
  await owes(INVALID_ARGUMENT, 'CreateSnapshot', { ...snapshot('snap'), parameters: { unheard: 'of' } }, 'an unknown parameter');
  await owes(NOT_FOUND, 'CreateSnapshot', { name: 'snap', source_volume_id: 'vol-none' }, 'a volume that is not there');
  const first = (await owes(OK, 'CreateSnapshot', snapshot('snap'), 'of a volume')).snapshot;
  same('CreateSnapshot: twice is once', first, (await owes(OK, 'CreateSnapshot', snapshot('snap'), 'again')).snapshot);
  same('CreateSnapshot: is ready, of its volume and size', [true, source.volume_id, 32 * MiB], [first.ready_to_use, first.source_volume_id, first.size_bytes]);
  await owes(ALREADY_EXISTS, 'CreateSnapshot', snapshot('snap', other), 'of another volume');
  const second = (await owes(OK, 'CreateSnapshot', snapshot('s'.repeat(128), other), 'a name of 128 bytes')).snapshot;
  const list = async (request, why) => (await owes(OK, 'ListSnapshots', request, why)).entries.map(entry => entry.snapshot.snapshot_id);
  same('ListSnapshots: lists each', [first, second].map(one => one.snapshot_id).sort(), await list({}, 'all'));
  same('ListSnapshots: that one', [first.snapshot_id], await list({ snapshot_id: first.snapshot_id }, 'by identifier'));
  same('ListSnapshots: those of it', [second.snapshot_id], await list({ source_volume_id: other.volume_id }, 'by volume'));
  same('ListSnapshots: none by both', [], await list({ source_volume_id: other.volume_id, snapshot_id: first.snapshot_id }, 'of another volume'));
  same('ListSnapshots: none', [], await list({ snapshot_id: 'snap-none' }, 'that is not there'));
  same('ListSnapshots: none', [], await list({ source_volume_id: 'vol-none' }, 'of a volume that is not there'));
  const page = await owes(OK, 'ListSnapshots', { max_entries: 1 }, 'a page');
  same('ListSnapshots: the other one', 1, (await list({ starting_token: page.next_token }, 'the next page')).filter(id => id !== page.entries[0].snapshot.snapshot_id).length);
  await owes(ABORTED, 'ListSnapshots', { starting_token: 'invalid-token' }, 'a token of nobody');
  const restored = await create('restored', fromSnapshot(first.snapshot_id));
  same('CreateVolume: tells its source', first.snapshot_id, restored.content_source.snapshot.snapshot_id);
  await owes(OUT_OF_RANGE, 'CreateVolume', claim('smaller', { ...fromSnapshot(first.snapshot_id), capacity_range: { required_bytes: 16 * MiB } }), 'smaller than its source');
  const clone = await create('clone', fromVolume(source.volume_id));
  await remove(source);
  await remove(restored, clone, other);
  await owes(INVALID_ARGUMENT, 'DeleteSnapshot', {}, 'no snapshot');
  await owes(OK, 'DeleteSnapshot', { snapshot_id: 'reallyfakesnapshotid' }, 'that is not there');
  for (const one of [first, second, first]) await owes(OK, 'DeleteSnapshot', { snapshot_id: one.snapshot_id }, 'of a volume that is gone');
}

async function node() {
  const info = await owes(OK, 'NodeGetInfo', {}, 'who it is');
  same('NodeGetInfo: a name and where it is', true, info.node_id.length > 0 && Object.keys(info.accessible_topology.segments).length === 1 && info.max_volumes_per_node > 0);
  const volume = await create('node');
  const [volume_id, staging_target_path, target_path, volume_capability] = [volume.volume_id, `${folder}/sanity/staging`, `${folder}/sanity/target`, writer];
  const stage = { volume_id, staging_target_path, volume_capability }, publish = { ...stage, target_path };
  const without = (request, ...fields) => Object.fromEntries(Object.entries(request).filter(([field]) => !fields.includes(field)));
  for (const [method, request] of [['NodeStageVolume', stage], ['NodePublishVolume', without(publish, 'staging_target_path')]]) {
    for (const field of Object.keys(request)) await owes(INVALID_ARGUMENT, method, without({ ...request, staging_target_path }, field), `no ${field}`);
    await owes(NOT_FOUND, method, { ...publish, ...request, staging_target_path, volume_id: 'vol-none' }, 'a volume that is not there');
  }
  await owes(FAILED_PRECONDITION, 'NodePublishVolume', without(publish, 'staging_target_path'), 'no staging path');
  await owes(FAILED_PRECONDITION, 'NodePublishVolume', publish, 'before it is staged');
  for (const [method, request] of [['NodeUnstageVolume', { volume_id, staging_target_path }], ['NodeUnpublishVolume', { volume_id, target_path }]]) {
    for (const field of Object.keys(request)) await owes(INVALID_ARGUMENT, method, without(request, field), `no ${field}`);
    await owes(OK, method, { ...request, volume_id: 'vol-none' }, 'a volume that is not there');
    await owes(OK, method, request, 'where nothing is');
  }
  const volume_path = target_path;
  for (const [method, more] of [['NodeGetVolumeStats', {}], ['NodeExpandVolume', { capacity_range: { required_bytes: 32 * MiB } }]]) {
    for (const field of ['volume_id', 'volume_path']) await owes(INVALID_ARGUMENT, method, without({ volume_id, volume_path, ...more }, field), `no ${field}`);
    await owes(NOT_FOUND, method, { volume_id: 'vol-none', volume_path, ...more }, 'a volume that is not there');
    await owes(NOT_FOUND, method, { volume_id, volume_path: 'some/path', ...more }, 'a path where it is not');
    await owes(NOT_FOUND, method, { volume_id, volume_path, ...more }, 'before it is published');
  }
  for (let round = 1; round <= 2; round++) {
    for (const why of [`round ${round}`, `round ${round} again`]) await owes(OK, 'NodeStageVolume', stage, why);
    for (const why of [`round ${round}`, `round ${round} again`]) await owes(OK, 'NodePublishVolume', publish, why);
    await owes(ALREADY_EXISTS, 'NodePublishVolume', { ...publish, readonly: true }, 'otherwise at the same target');
    await owes(ALREADY_EXISTS, 'NodeStageVolume', { ...stage, volume_capability: { ...writer, mount: { fs_type: 'ext4', mount_flags: ['noatime'] } } }, 'otherwise at the same path');
    await owes(FAILED_PRECONDITION, 'NodePublishVolume', { ...publish, target_path: `${target_path}-2` }, 'at a second target for one writer');
    const stats = await owes(OK, 'NodeGetVolumeStats', { volume_id, volume_path }, `round ${round}`);
    same('NodeGetVolumeStats: bytes, inodes and a condition', ['BYTES', 'INODES', false], [...stats.usage.map(one => one.unit), stats.volume_condition.abnormal]);
    same('NodeExpandVolume: nothing to do', 32 * MiB, (await owes(OK, 'NodeExpandVolume', { volume_id, volume_path, capacity_range: { required_bytes: 32 * MiB } }, `round ${round}`)).capacity_bytes);
    await owes(FAILED_PRECONDITION, 'DeleteVolume', { volume_id }, 'while it is used');
    await owes(FAILED_PRECONDITION, 'NodeUnstageVolume', { volume_id, staging_target_path }, 'while it is published');
    for (const why of [`round ${round}`, `round ${round} again`]) await owes(OK, 'NodeUnpublishVolume', { volume_id, target_path }, why);
    for (const why of [`round ${round}`, `round ${round} again`]) await owes(OK, 'NodeUnstageVolume', { volume_id, staging_target_path }, why);
  }
  await remove(volume);
  await owes(NOT_FOUND, 'NodeStageVolume', stage, 'after it was deleted');
}

identity().then(volumes).then(snapshots).then(node).finally(() => Object.values(clients).forEach(client => client.close()));
