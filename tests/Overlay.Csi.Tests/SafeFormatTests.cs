using System.Security.Cryptography;
using Overlay.Csi.Protos;
using Overlay.Rpc.Grpc;
using Overlay.Testing;

namespace Overlay.Csi.Tests;

/// <summary>Images that are not what was made keep every byte, and the message tells what was found.</summary>
public sealed class SafeFormatTests(DriverProcess driver) : IClassFixture<DriverProcess>
{
    [Theory]
    [InlineData("xfs", 320, "xfs")]
    [InlineData("ext4", 32, "ext4")]
    [InlineData("btrfs", 160, "btrfs")]
    [InlineData("luks", 32, "LUKS")]
    [InlineData("lvm", 32, "LVM")]
    [InlineData("dos", 32, "partition table")]
    [InlineData("gpt", 32, "GPT")]
    [InlineData("random", 32, "data without a known signature, at byte 0")]
    [InlineData("far", 128, "data without a known signature, at byte 104857600")]
    [InlineData("truncated", 32, "truncated")]
    [InlineData("replaced", 32, "replaced")]
    [InlineData("grown", 32, "instead of")]
    public async Task NodeStageVolume_OfAnImageThatIsNotBlank_KeepsItAndTellsWhatItHolds(string content, int mebibytes, string found)
    {
        VolumeCapability capability = Calls.Mount("ext4");
        string volume = await driver.CreateIdAsync(Calls.Request($"precious-{content}", capability, mebibytes));
        string image = $"{driver.Pool}/{volume}.img";
        Fill(image, content);
        string before = DigestOf(image);

        GrpcException refused = await Calls.RefusedAsync(GrpcStatusCode.FailedPrecondition, driver.StageAsync(volume, capability));

        Assert.Contains(found, refused.Message, StringComparison.Ordinal);
        Assert.Equal(before, DigestOf(image));
        Assert.Empty(driver.Loops());
        Assert.Empty(driver.Mounts());
    }

    [Theory]
    [InlineData("truncated", "truncated")]
    [InlineData("replaced", "replaced")]
    [InlineData("grown", "instead of")]
    public async Task Image_ThatIsNotTheOneThatWasMade_IsNeitherGrownNorCopied(string content, string found)
    {
        VolumeCapability capability = Calls.Mount("ext4");
        string volume = await driver.CreateIdAsync(Calls.Request($"whole-{content}", capability, 32));
        await driver.StageAsync(volume, capability);
        await driver.UnstageAsync(volume);
        string image = $"{driver.Pool}/{volume}.img";
        Fill(image, content);
        (string before, string record) = (DigestOf(image), File.ReadAllText($"{driver.State}/{volume}.json"));

        // What was missing would be zeros of a volume that looks sound.
        Func<Task>[] calls =
        [
            () => driver.ExpandAsync(volume, 128 * Calls.MiB),
            () => driver.SnapshotAsync($"whole-{content}", volume),
            () => driver.CreateAsync(Calls.Request($"whole-{content}-clone", capability, 32).From(volume: volume)),
        ];
        foreach (Func<Task> call in calls)
        {
            GrpcException refused = await Calls.RefusedAsync(GrpcStatusCode.FailedPrecondition, call());
            Assert.Contains(found, refused.Message, StringComparison.Ordinal);
        }

        Assert.Equal((before, record), (DigestOf(image), File.ReadAllText($"{driver.State}/{volume}.json")));
        Assert.Empty((await driver.ListSnapshotsAsync(new ListSnapshotsRequest { SourceVolumeId = volume })).Entries);
    }

    [Fact]
    public async Task NodeStageVolume_OfAVolumeWhoseFileSystemWasExchanged_KeepsIt()
    {
        VolumeCapability capability = Calls.Mount("ext4");
        string volume = await driver.CreateIdAsync(Calls.Request("exchanged", capability, 32));
        await driver.StageAsync(volume, capability);
        await driver.UnstageAsync(volume);
        string image = $"{driver.Pool}/{volume}.img";
        ProgramRun.Check("mkfs.ext4", "-q", "-F", image);
        string before = DigestOf(image);

        GrpcException refused = await Calls.RefusedAsync(GrpcStatusCode.FailedPrecondition, driver.StageAsync(volume, capability));

        Assert.Contains("UUID", refused.Message, StringComparison.Ordinal);
        Assert.Equal(before, DigestOf(image));
    }

    [Fact]
    public async Task NodeStageVolume_OfAnImageThatCannotBeRead_IsRefused()
    {
        // An ext4 whose device ends early: its files are there, and their bytes are not.
        string disk = $"{driver.Folder}/disk.img", folder = $"{driver.Folder}/broken";
        using (FileStream file = File.Create(disk)) file.SetLength(256 << 20);
        ProgramRun.Check("mkfs.ext4", "-q", disk);
        await using DriverProcess broken = new();
        Directory.CreateDirectory(folder);
        broken.Check("mount", "-o", "loop", disk, folder);
        broken.Pools.Clear();
        broken.Pools.Add($"images={folder}");
        await broken.RunAsync();
        VolumeCapability capability = Calls.Mount("ext4");
        string volume = await broken.CreateIdAsync(Calls.Request("unreadable", capability, 64));
        string image = $"{folder}/{volume}.img";
        broken.Check("sh", "-c", $"dd if=/dev/zero of={image} bs=1M seek=8 count=40 conv=notrunc,fsync status=none; echo 3 >/proc/sys/vm/drop_caches");
        using (FileStream file = File.OpenWrite(disk)) file.SetLength(24 << 20);
        broken.Check("sh", "-c", "echo 3 >/proc/sys/vm/drop_caches");

        GrpcException refused = await Calls.RefusedAsync(GrpcStatusCode.FailedPrecondition, broken.StageAsync(volume, capability));

        Assert.Contains("cannot be read", refused.Message, StringComparison.Ordinal);
        await broken.KillAsync();
        broken.Check("umount", folder);
    }

    [Fact]
    public async Task NodeStageVolume_WhileTheImageIsAttachedElsewhere_IsRefused()
    {
        VolumeCapability capability = Calls.Mount("ext4");
        string volume = await driver.CreateIdAsync(Calls.Request("attached", capability, 32));
        string device = ProgramRun.Check("losetup", "--find", "--show", $"{driver.Pool}/{volume}.img").Lines[0];
        try
        {
            GrpcException refused = await Calls.RefusedAsync(GrpcStatusCode.FailedPrecondition, driver.StageAsync(volume, capability));

            Assert.Contains(device, refused.Message, StringComparison.Ordinal);
        }
        finally
        {
            ProgramRun.Check("losetup", "--detach", device);
        }
    }

    private static void Fill(string image, string content)
    {
        byte[] random = new byte[1 << 20];
        new Random(8).NextBytes(random);
        random[0] = 1;
        switch (content)
        {
            case "xfs" or "ext4" or "btrfs":
                ProgramRun.Check($"mkfs.{content}", "-q", image);
                break;
            case "luks":
                Write(image, 0, [.. "LUKS"u8, 0xba, 0xbe, 0, 2]);
                break;
            case "lvm":
                Write(image, 512, "LABELONE"u8);
                break;
            case "dos" or "gpt":
                ProgramRun.Check("sh", "-c", $"printf 'label: {content}\\nsize=4M\\n' | sfdisk --quiet {image}");
                break;
            case "random":
                Write(image, 0, random);
                break;
            case "far":
                Write(image, 100 << 20, random);
                break;
            case "truncated":
                using (FileStream file = File.OpenWrite(image)) file.SetLength(file.Length / 2);
                break;
            case "grown":
                using (FileStream file = File.OpenWrite(image)) file.SetLength(file.Length * 2);
                break;
            default:
                long length = new FileInfo(image).Length;
                File.Move(image, $"{image}.original");
                using (FileStream file = File.Create(image)) file.SetLength(length);
                break;
        }
    }

    private static void Write(string image, long offset, ReadOnlySpan<byte> bytes)
    {
        using FileStream file = File.OpenWrite(image);
        file.Seek(offset, SeekOrigin.Begin);
        file.Write(bytes);
    }

    private static string DigestOf(string path)
    {
        using FileStream file = File.OpenRead(path);
        return Convert.ToHexString(SHA256.HashData(file));
    }
}
