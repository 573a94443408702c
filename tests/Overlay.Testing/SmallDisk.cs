namespace Overlay.Testing;

/// <summary>A file system in memory that a test can fill up. Needs root.</summary>
public sealed class SmallDisk : IDisposable
{
    /// <param name="kilobytes">How much it holds.</param>
    public SmallDisk(int kilobytes)
    {
        Folder = Directory.CreateTempSubdirectory("ovt-disk-").FullName;
        ProgramRun.Check("mount", "-t", "tmpfs", "-o", FormattableString.Invariant($"size={kilobytes}k"), "none", Folder);
    }

    public string Folder { get; }

    private string Filler => $"{Folder}/filler";

    /// <summary>Takes all that is left.</summary>
    public void Fill()
    {
        if (ProgramRun.Start("dd", "if=/dev/zero", $"of={Filler}", "bs=1024").ExitCode == 0) throw new InvalidOperationException($"{Folder} was not filled up");
    }

    /// <summary>Gives back what <see cref="Fill"/> took.</summary>
    public void MakeRoom() => File.Delete(Filler);

    public void Dispose()
    {
        ProgramRun.Check("umount", Folder);
        Directory.Delete(Folder);
    }
}
