using System.Text.Json;
using System.Text.Json.Serialization;
using Overlay.Linux.Storage;

namespace Overlay.Agent.Control;

/// <summary>Who this machine is to the controllers.</summary>
/// <param name="Machine">Made once, at the first start.</param>
/// <param name="Generation">Of the last registration that was confirmed; 0: there was none.</param>
/// <param name="Attempt">Of the registration that is not confirmed yet.</param>
internal sealed record Registration(string Machine, long Generation, string Attempt);

/// <summary>The registration on disk. A machine that was copied, disk and all, is told from the original by the generation.</summary>
internal sealed class RegistrationFile
{
    private readonly string _path;

    /// <exception cref="StartRefusedException">The file is there and cannot be read.</exception>
    public RegistrationFile(string folder)
    {
        _path = Path.Combine(folder, "registration.json");
        try
        {
            if (File.Exists(_path))
            {
                // Nothing is written: a disk that is full keeps no node from starting.
                Current = JsonSerializer.Deserialize(File.ReadAllBytes(_path), RegistrationJson.Default.Registration)!;
                return;
            }
            Current = new Registration(NewMark(), 0, NewMark());
            // The attempt is known before it is made, so that one without an answer is repeated and not made twice.
            Write(Current);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or JsonException)
        {
            throw new StartRefusedException($"{_path} cannot be used: {exception.Message}", "check 'control: state:', or remove the node with 'overlay node remove' and this file", exception);
        }
    }

    public Registration Current { get; private set; }

    /// <summary>The registration was answered.</summary>
    /// <exception cref="IOException">It cannot be written; the same attempt will be known again.</exception>
    public void Confirm(long generation)
    {
        var confirmed = new Registration(Current.Machine, generation, NewMark());
        Write(confirmed);
        Current = confirmed;
    }

    private void Write(Registration registration) =>
        DurableFile.Write(_path, JsonSerializer.SerializeToUtf8Bytes(registration, RegistrationJson.Default.Registration));

    private static string NewMark() => Guid.NewGuid().ToString("N");
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, RespectRequiredConstructorParameters = true, RespectNullableAnnotations = true)]
[JsonSerializable(typeof(Registration))]
internal sealed partial class RegistrationJson : JsonSerializerContext;
