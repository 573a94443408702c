using Overlay.Csi.Protos;
using Overlay.Rpc.Grpc;
using Overlay.Testing;

namespace Overlay.Csi.Tests;

/// <summary>Records that were damaged: their volumes are kept and not used, and all others served.</summary>
public sealed class RecordTests : IAsyncLifetime
{
    private static readonly VolumeCapability Ext4 = Calls.Mount("ext4");

    private DriverProcess _driver = null!;

    public async Task InitializeAsync() => _driver = await DriverProcess.StartAsync();

    public async Task DisposeAsync() => await _driver.DisposeAsync();

    [Fact]
    public async Task Driver_WithDamagedRecords_KeepsTheirVolumesAndServesTheOthers()
    {
        string[] damages = ["empty", "truncated", "random", "another's", "negative", "shape", "folder"];
        string sound = await _driver.CreateIdAsync(Calls.Request("sound", Ext4, 32));
        var records = new Dictionary<string, (string Path, string Whole)>();
        foreach (string damage in damages)
        {
            string volume = await _driver.CreateIdAsync(Calls.Request(damage, Ext4, 32));
            File.WriteAllText(_driver.In($"{await _driver.UseAsync(volume, Ext4)}/file"), damage);
            records[volume] = ($"{_driver.State}/{volume}.json", File.ReadAllText($"{_driver.State}/{volume}.json"));
        }
        await _driver.KillAsync();
        foreach ((string volume, string damage) in records.Keys.Zip(damages)) Damage(records[volume].Path, damage, File.ReadAllText(records[volume].Path), File.ReadAllText($"{_driver.State}/{sound}.json"));
        string[] before = [.. records.Values.Where(record => File.Exists(record.Path)).Select(record => Convert.ToHexString(File.ReadAllBytes(record.Path)))];
        await _driver.RunAsync();

        await _driver.UseAsync(sound, Ext4);
        await _driver.ReleaseAsync(sound);
        foreach ((string volume, string name) in records.Keys.Zip(damages))
        {
            Assert.Contains($"{records[volume].Path} is no sound record", _driver.Log, StringComparison.Ordinal);
            GrpcException refused = await Calls.RefusedAsync(GrpcStatusCode.FailedPrecondition, _driver.StageAsync(volume, Ext4));
            Assert.Contains(records[volume].Path, refused.Message, StringComparison.Ordinal);
            await Calls.RefusedAsync(GrpcStatusCode.FailedPrecondition, _driver.PublishAsync(volume, _driver.Target(volume, "second"), Ext4));
            await Calls.RefusedAsync(GrpcStatusCode.FailedPrecondition, _driver.ExpandAsync(volume, 64 * Calls.MiB));
            await Calls.RefusedAsync(GrpcStatusCode.FailedPrecondition, _driver.SnapshotAsync($"of-{name}", volume));
            await Calls.RefusedAsync(GrpcStatusCode.FailedPrecondition, _driver.CreateAsync(Calls.Request(name, Ext4, 32)));
            await Calls.RefusedAsync(GrpcStatusCode.FailedPrecondition, _driver.CreateAsync(Calls.Request("clone", Ext4, 32).From(volume: volume)));
            await Calls.RefusedAsync(GrpcStatusCode.FailedPrecondition, _driver.DeleteAsync(volume));
            await _driver.ReleaseAsync(volume);
        }
        Assert.Empty(_driver.Mounts());
        Assert.Empty(_driver.Loops());
        Assert.Equal(before, records.Values.Where(record => File.Exists(record.Path)).Select(record => Convert.ToHexString(File.ReadAllBytes(record.Path))));
        Assert.Contains($"{records.Values.First().Path} is no sound record", ProgramRun.Check(Path.Combine(AppContext.BaseDirectory, "overlay"), "volumes", "--socket", _driver.Api).Output, StringComparison.Ordinal);

        // With the records restored, all is there.
        await _driver.KillAsync();
        foreach ((string path, string whole) in records.Values)
        {
            if (Directory.Exists(path)) Directory.Delete(path);
            File.WriteAllText(path, whole);
        }
        await _driver.RunAsync();
        foreach ((string volume, string name) in records.Keys.Zip(damages))
        {
            Assert.Equal(name, File.ReadAllText(_driver.In($"{await _driver.UseAsync(volume, Ext4)}/file")));
            await _driver.ReleaseAsync(volume);
        }
    }

    [Fact]
    public async Task Records_OnADiskThatIsFull_GiveResourceExhaustedAndLoseNothing()
    {
        await _driver.KillAsync();
        Directory.Delete(_driver.State, recursive: true);
        Directory.CreateDirectory(_driver.State);
        _driver.Check("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", _driver.State);
        await _driver.RunAsync();
        string volume = await _driver.CreateIdAsync(Calls.Request("full", Ext4, 32));
        string target = await _driver.UseAsync(volume, Ext4);
        File.WriteAllText(_driver.In($"{target}/file"), "precious");
        string filler = $"{_driver.State}/filler";
        _driver.Run("dd", "if=/dev/zero", $"of={filler}", "bs=4096", "status=none");

        await Calls.RefusedAsync(GrpcStatusCode.ResourceExhausted, _driver.CreateAsync(Calls.Request("more", Ext4, 32)));
        await Calls.RefusedAsync(GrpcStatusCode.ResourceExhausted, _driver.SnapshotAsync("more", volume));
        await Calls.RefusedAsync(GrpcStatusCode.ResourceExhausted, _driver.ExpandAsync(volume, 64 * Calls.MiB));
        await Calls.RefusedAsync(GrpcStatusCode.ResourceExhausted, _driver.UnpublishAsync(volume, target));
        _driver.Check("rm", filler);
        await _driver.KillAsync();
        await _driver.RunAsync();

        await _driver.ReleaseAsync(volume);
        Assert.Equal("precious", File.ReadAllText(_driver.In($"{await _driver.UseAsync(volume, Ext4)}/file")));
        await _driver.ReleaseAsync(volume);
        await _driver.DeleteAsync(volume);
        Assert.Empty(Directory.GetFiles(_driver.Pool));
        await _driver.KillAsync();
        _driver.Check("umount", _driver.State);
    }

    [Fact]
    public async Task NodeStageVolume_UnderAMarkOfFormatting_OverwritesNoOtherFileSystem()
    {
        string volume = await _driver.CreateIdAsync(Calls.Request("marked", Ext4, 32));
        await _driver.StageAsync(volume, Ext4);
        await _driver.UnstageAsync(volume);
        await _driver.KillAsync();
        string record = $"{_driver.State}/{volume}.json", image = $"{_driver.Pool}/{volume}.img";
        string text = File.ReadAllText(record);
        Assert.Contains("\"Done\"", text, StringComparison.Ordinal);
        File.WriteAllText(record, text.Replace("\"Done\"", "\"Formatting\"", StringComparison.Ordinal));
        foreach (string command in new[] { $"mkfs.ext4 -q -F {image}", $"mkfs.btrfs -q -f {image}", $"printf 'label: gpt\\n' | sfdisk --quiet --wipe always {image}" })
        {
            ProgramRun.Check("truncate", "--size", "160M", image);
            ProgramRun.Check("sh", "-c", command);
            ProgramRun.Check("truncate", "--size", "32M", image);
            string before = ProgramRun.Check("sha256sum", image).Output;
            await _driver.RunAsync();

            GrpcException refused = await Calls.RefusedAsync(GrpcStatusCode.FailedPrecondition, _driver.StageAsync(volume, Ext4));

            Assert.Contains("it is kept as it is", refused.Message, StringComparison.Ordinal);
            Assert.Equal(before, ProgramRun.Check("sha256sum", image).Output);
            await _driver.KillAsync();
        }
        // What the interrupted program itself may have left is overwritten.
        ProgramRun.Check("sh", "-c", $"dd if=/dev/zero of={image} bs=1M count=32 conv=notrunc status=none; dd if=/dev/urandom of={image} bs=4096 seek=100 count=10 conv=notrunc status=none");
        await _driver.RunAsync();
        await _driver.UseAsync(volume, Ext4);
        await _driver.ReleaseAsync(volume);
    }

    private static void Damage(string record, string damage, string whole, string another)
    {
        if (damage == "folder")
        {
            File.Delete(record);
            Directory.CreateDirectory(record);
            return;
        }
        byte[] random = new byte[300];
        new Random(9).NextBytes(random);
        File.WriteAllBytes(record, damage switch
        {
            "empty" => [],
            "truncated" => System.Text.Encoding.UTF8.GetBytes(whole[..(whole.Length / 2)]),
            "random" => random,
            "another's" => System.Text.Encoding.UTF8.GetBytes(another),
            "negative" => System.Text.Encoding.UTF8.GetBytes(whole.Replace("33554432", "-1", StringComparison.Ordinal)),
            _ => System.Text.Encoding.UTF8.GetBytes(whole.Replace("thin ext4/SingleNodeWriter", "thin", StringComparison.Ordinal)),
        });
    }
}
