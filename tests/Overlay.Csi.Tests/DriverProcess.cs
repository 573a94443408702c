using System.Diagnostics;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Overlay.Csi.Protos;
using Overlay.Rpc.Grpc;

namespace Overlay.Csi.Tests;

/// <summary>A real driver, in a folder of its own that goes with it.</summary>
internal sealed class DriverProcess : IAsyncDisposable
{
    public const string Node = "node-a";

    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private Process? _process;

    private DriverProcess() => Directory.CreateDirectory(Pool);

    public string Folder { get; } = Directory.CreateTempSubdirectory("ovt-csi-").FullName;

    public string Socket => $"{Folder}/csi.sock";

    public string Pool => $"{Folder}/pool";

    public string State => $"{Folder}/state";

    public string RegistrationSocket => $"{Folder}/csi.overlay.local-reg.sock";

    public GrpcChannel Channel { get; private set; } = null!;

    public int ExitCode => _process!.ExitCode;

    public static async Task<DriverProcess> StartAsync()
    {
        var driver = new DriverProcess();
        await driver.RunAsync();
        return driver;
    }

    /// <summary>Starts it, again after <see cref="KillAsync"/>, and waits until it is ready.</summary>
    public async Task RunAsync()
    {
        _process = Launch();
        Channel = GrpcChannel.ToSocket(Socket);
        long start = Stopwatch.GetTimestamp();
        while (true)
        {
            try
            {
                if ((await Channel.CallAsync(Method<ProbeRequest, ProbeResponse>("Identity", "Probe"), new ProbeRequest(), Patience)).Ready == true) return;
            }
            catch (GrpcException exception) when (exception.Status == GrpcStatusCode.Unavailable)
            {
                Assert.False(_process.HasExited, "the driver ended");
            }
            Assert.True(Stopwatch.GetElapsedTime(start) < Patience, "the driver does not get ready");
            await Task.Delay(20);
        }
    }

    /// <summary>Starts another one with the same options, whatever comes of it.</summary>
    public Process Launch() => Process.Start(new ProcessStartInfo(
        Path.Combine(AppContext.BaseDirectory, "overlay-csi"),
        ["--endpoint", $"unix://{Socket}", "--node-id", Node, "--registration", Folder, "--state", State, "--pool", $"images={Pool}"]))!;

    public async Task KillAsync()
    {
        _process!.Kill();
        await EndedAsync();
    }

    public async Task EndedAsync()
    {
        await _process!.WaitForExitAsync().WaitAsync(Patience);
        Channel.Dispose();
    }

    public async Task TerminateAsync()
    {
        using Process kill = Process.Start("kill", ["-TERM", $"{_process!.Id}"]);
        await EndedAsync();
    }

    public Task<TResponse> CallAsync<TRequest, TResponse>(string service, string method, TRequest request)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new() =>
        Channel.CallAsync(Method<TRequest, TResponse>(service, method), request, Patience);

    public Task<CreateVolumeResponse> CreateAsync(CreateVolumeRequest request) =>
        CallAsync<CreateVolumeRequest, CreateVolumeResponse>("Controller", "CreateVolume", request);

    public Task<DeleteVolumeResponse> DeleteAsync(string id) =>
        CallAsync<DeleteVolumeRequest, DeleteVolumeResponse>("Controller", "DeleteVolume", new DeleteVolumeRequest { VolumeId = id });

    public async ValueTask DisposeAsync()
    {
        if (!_process!.HasExited) await KillAsync();
        _process.Dispose();
        Directory.Delete(Folder, recursive: true);
    }

    private static GrpcMethod<TRequest, TResponse> Method<TRequest, TResponse>(string service, string method)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new() =>
        new(CsiReflection.Descriptor.FindTypeByName<ServiceDescriptor>(service), method);
}
