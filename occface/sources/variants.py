"""One generated person in several poses and expressions: drawn, measured, corrected, and kept only where it measures right.

Every pose has a neutral face first, which the expressions of that pose are compared with: what turning does to the measures
then cancels out. All faces of a person must be near the neutral frontal one for the recogniser.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np

from occface.errors import BadImageError
from occface.faces.detect import DlibDetector
from occface.faces.expression import expression_scores, is_neutral, told_expression
from occface.faces.landmarks import DlibLandmarks
from occface.faces.measures import NAMES, Measures, measure
from occface.faces.recognition import embed
from occface.networks.inference import one_thread
from occface.sources import directions, synthetic

__all__ = ["CHANGES", "DISTANCE", "DRAWS", "YAW_TOLERANCE", "Face", "Person", "look", "make_person"]

#: How far the measured yaw may be from the asked one, in degrees: twice the spread of the yaws measured of 104 portraits taken
#: from the front (London Set), which is 2.8.
YAW_TOLERANCE = 6.0

#: How far a face may be from its person's neutral frontal face: a little less than the recogniser's own threshold of 0.6.
DISTANCE = 0.58

#: How often a face is drawn before it is given up.
DRAWS = 5

#: What an expression is sought with: the changes of the measures against the neutral face of the same pose. Measures that are
#: not named are left to themselves.
CHANGES: dict[str, dict[str, float]] = {
    "neutral": {},
    "smile": {"mouth_lift": 0.11, "brow_height": 0.0},
    "surprise": {"mouth_lift": 0.0, "mouth_opening": 0.14, "eye_opening": 0.025, "brow_height": 0.055},
    "squint": {"mouth_lift": 0.0, "mouth_opening": 0.0, "eye_opening": -0.055},
    "scream": {"mouth_lift": 0.0, "mouth_opening": 0.36, "eye_opening": -0.01},
}

#: What the neutral frontal face is sought with: mouth closed, its corners level.
_FRONT = {"yaw": 0.0, "mouth_lift": 0.02, "mouth_opening": 0.01}

#: Which of the measures turning is about.
_TURNED = np.array([float(name == "yaw") for name in NAMES])

#: What an expression is weakened by where it makes another person of the face.
_EASE = 0.8

#: How far a face is moved along a direction at most, in spreads of its measure: further out the generator draws monsters.
_REACH = 4.5


@dataclass(frozen=True, eq=False)
class Face:
    """A face drawn, and what was measured of it.

    Attributes
    ----------
    image : numpy.ndarray
        (size, size, 3) uint8 RGB.
    box : tuple of float
        The detector's box.
    landmarks : numpy.ndarray
        (68, 2) float32.
    measures : Measures
        By the landmarks.
    scores : numpy.ndarray
        (7,) float32, see `expression_scores`.
    strengths : numpy.ndarray
        (6,), how far it was moved along each of the directions.
    embedding : numpy.ndarray
        (128,) float32, the recogniser's numbers; zeros where it was not asked.
    distance : float
        Theirs from those of the person's neutral frontal face.
    expression : str
        As measured.
    """

    image: np.ndarray
    box: tuple[float, float, float, float]
    landmarks: np.ndarray
    measures: Measures
    scores: np.ndarray
    strengths: np.ndarray = field(default_factory=lambda: np.zeros(len(directions.CONTROLS)))
    embedding: np.ndarray = field(default_factory=lambda: np.zeros(128, np.float32))
    distance: float = 0.0
    expression: str = ""


@dataclass(eq=False)
class Person:
    """What was made of a person: the faces kept, by (pose, expression), and the reasons why others could not be had.

    `draws` counts the pictures that it took, and `attempts` the people that were tried.
    """

    faces: dict[tuple[float, str], Face] = field(default_factory=dict)
    reasons: dict[tuple[float, str], str] = field(default_factory=dict)
    draws: int = 0
    attempts: int = 1

    def add(self, pose: float, expression: str, face: Face | None, reason: str) -> None:
        """Enter a face, or the reason why there is none."""
        if face is None:
            self.reasons[pose, expression] = reason
        else:
            self.faces[pose, expression] = face


def look(image: np.ndarray) -> Face:
    """Find the largest face of a picture and measure it.

    Raises
    ------
    BadImageError
        If there is none.
    """
    found = DlibDetector().detect(image)
    if not found:
        raise BadImageError("no face found in the picture drawn")
    box = max(found, key=lambda face: (face.area, face.score)).box
    landmarks = DlibLandmarks()(image, box)
    with one_thread():
        scores = expression_scores(image, box)
    return Face(image, box, landmarks, measure(landmarks), scores)


#: Completes a face, and says why it is not taken.
Judge: TypeAlias = Callable[[Face], tuple[Face, str]]


@dataclass(eq=False)
class _Studio:
    """What draws and corrects the faces of one style."""

    style: np.ndarray
    size: int
    control: directions.Directions = field(default_factory=directions.load)
    draws: int = 0

    def seek(self, anchor: np.ndarray, start: np.ndarray, sought: Mapping[str, float], judge: Judge) -> tuple[Face | None, str]:
        """Draw a face until it is taken, each time with the strengths that the last one calls for.

        Parameters
        ----------
        anchor : numpy.ndarray
            (6,), strengths that a face is known to be good with.
        start : numpy.ndarray
            (6,), the strengths of the first draw.
        sought : mapping of str to float
            The values sought of some of the measures.
        judge : callable
            Completes a face and gives the reason why it is not taken, or an empty text.

        Returns
        -------
        Face or None, str
            The first face that is taken; else the reason why the last one was not.
        """
        wanted = np.array([name in sought for name in NAMES])
        target = np.array([sought.get(name, 0.0) for name in NAMES])
        strengths, reason, last = start, "", None
        for _ in range(DRAWS):
            self.draws += 1
            try:
                face = look(synthetic.draw(self.control.move(self.style, strengths), self.size))
            except BadImageError as error:
                reason = str(error)
                strengths = anchor + _EASE * (strengths - anchor)
                continue
            face, reason = judge(replace(face, strengths=strengths))
            if not reason:
                return face, ""
            if last is not None:
                change = face.measures.values - last.measures.values
                self.control = self.control.learned(strengths - last.strengths, change)
            last = face
            if face.distance > DISTANCE:
                # Moved less, it is more itself; what was sought goes beyond what is asked for, so there is room.
                strengths = anchor + _EASE * (strengths - anchor)
            else:
                strengths = strengths + self.control.correction(target - face.measures.values, wanted)
            reach = _REACH * self.control.spread
            strengths = np.clip(strengths, -reach, reach)
        return None, reason


def make_person(
    style: np.ndarray, poses: Sequence[float], expressions: Sequence[str], size: int, *, whole: bool = False
) -> Person:
    """Make the faces of one person.

    Parameters
    ----------
    style : numpy.ndarray
        (1, 512) float32, the style of the person.
    poses : sequence of float
        Yaws in degrees.
    expressions : sequence of str
        Of `CHANGES`.
    size : int
        512 or 1024 pixels.
    whole : bool
        Give the person up as soon as one face could not be made.

    Returns
    -------
    Person
        With a face or a reason for each pose and expression; given up, with the faces made so far and one reason or more.
    """
    studio, person = _Studio(style, size), Person()
    front, reason = studio.seek(np.zeros(len(NAMES)), np.zeros(len(NAMES)), _FRONT, _judge_front)
    # The neutral faces first: where a person cannot be turned, little has been drawn in vain.
    poses = sorted(poses, key=lambda pose: (abs(pose), pose))
    neutral: dict[float, tuple[Face | None, str]] = {}
    for pose in poses:
        neutral[pose] = (front, reason) if front is None or pose == 0 else _turn(studio, front, pose)
        person.add(pose, "neutral", *neutral[pose])
        if person.reasons and whole:
            break
    used: dict[str, np.ndarray] = {}
    for pose, expression in itertools.product(poses, expressions):
        if person.reasons and whole:
            break
        seen, reason = neutral[pose]
        if front is None or seen is None:
            person.add(pose, expression, None, f"no neutral face in this pose: {reason}")
        elif expression != "neutral":
            person.add(pose, expression, *_express(studio, front, seen, pose, expression, used))
    person.draws = studio.draws
    return person


def _judge_front(face: Face) -> tuple[Face, str]:
    reason = _wrong_yaw(face, 0.0)
    if not reason and not is_neutral(face.measures, face.scores):
        reason = f"it does not look neutral (mouth opened by {face.measures.mouth_opening:.2f} eye distances)"
    if not reason:
        face = replace(face, expression="neutral", embedding=embed(face.image, face.landmarks))
    return face, reason


def _turn(studio: _Studio, front: Face, pose: float) -> tuple[Face | None, str]:
    """Return the neutral face of a pose, or None and why."""
    seen = dict(zip(NAMES, front.measures.values.tolist(), strict=True))
    sought = {**{name: seen[name] for name in ("pitch", "mouth_lift", "mouth_opening", "eye_opening")}, "yaw": pose}
    start = front.strengths + studio.control.correction(_TURNED * (pose - seen["yaw"]), _TURNED > 0)
    return studio.seek(front.strengths, start, sought, _Judge(front, front, pose, "neutral"))


def _express(
    studio: _Studio, front: Face, neutral: Face, pose: float, expression: str, used: dict[str, np.ndarray]
) -> tuple[Face | None, str]:
    """Return a face with an expression, or None and why.

    `used` holds the strengths that gave the expression in the poses before: with them the first draw is mostly right.
    """
    seen = dict(zip(NAMES, neutral.measures.values.tolist(), strict=True))
    changes = {"yaw": 0.0, "pitch": 0.0, **CHANGES[expression]}
    sought = {name: seen[name] + change for name, change in changes.items()}
    if expression not in used:
        change = np.array([changes.get(name, 0.0) for name in NAMES])
        used[expression] = studio.control.correction(change, np.array([name in changes for name in NAMES]))
    start = neutral.strengths + used[expression]
    face, reason = studio.seek(neutral.strengths, start, sought, _Judge(front, neutral, pose, expression))
    if face is not None:
        used[expression] = face.strengths - neutral.strengths
    return face, reason


@dataclass(frozen=True, eq=False)
class _Judge:
    """Whether a face is in the asked pose, has the asked expression, and is the same person's."""

    front: Face
    neutral: Face
    pose: float
    expression: str

    def __call__(self, face: Face) -> tuple[Face, str]:
        reason = _wrong_yaw(face, self.pose)
        told = told_expression(face.measures, self.neutral.measures)
        if not reason and told != self.expression:
            reason = f"it measures as {told or 'no expression that is told'}, asked was {self.expression}"
        if reason:
            return face, reason
        embedding = embed(face.image, face.landmarks)
        distance = float(np.linalg.norm(embedding - self.front.embedding))
        face = replace(face, expression=told, embedding=embedding, distance=distance)
        far = f"the recogniser sees it {distance:.2f} away from its neutral frontal face, more than {DISTANCE}"
        return face, far if distance > DISTANCE else ""


def _wrong_yaw(face: Face, pose: float) -> str:
    yaw = face.measures.pose.yaw
    return "" if abs(yaw - pose) <= YAW_TOLERANCE else f"its yaw is {yaw:+.1f}, asked was {pose:+g} +- {YAW_TOLERANCE:g}"
