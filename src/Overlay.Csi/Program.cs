using Overlay.Csi;
using Overlay.Rpc.Hosting;

return await CommandLine.RunAsync(args, Logs.Create).ConfigureAwait(false);
